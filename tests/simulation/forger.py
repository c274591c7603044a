"""A stolen runner: writes to step-events whatever may harm the runs of others, with what it has seen on the wire."""

from __future__ import annotations

import random
from collections.abc import Iterator

from kaon_coordinator.transport.base import Send
from kaon_wire import topics
from kaonapi.step.v1 import step_pb2

from .broker import Broker, Written

NAME = "forger"
# Nobody but the forger says so.
MARK = "forged"
# In every event that follows from its lies.
TRACE = b"forge"
_RESULT = step_pb2.StepSucceeded(outputs_json={"out": f'"{MARK}"'})
_ERROR = step_pb2.StepError(error_class=step_pb2.ERROR_CLASS_USER, type="ValueError", message=MARK)
# What is said in the name of another, and after what the runner itself has said.
_LIES = (
    {"succeeded": _RESULT},
    {"failed": step_pb2.StepFailed(error=_ERROR)},
    {"stopped": step_pb2.StepStopped(log_json=f'"{MARK}"')},
    {"handed_back": step_pb2.StepHandedBack(reason=MARK)},
    {"metric": step_pb2.StepMetric(name=MARK, value=1.0)},
)


class Forger:
    """Answers what runners report by forged records, until a time.

    Args:
        broker: Where it reads and writes.
        chance: What it draws from.
    """

    def __init__(self, broker: Broker, chance: random.Random) -> None:
        self.until = 0.0
        self.written = 0
        self._broker = broker
        self._random = chance
        broker.watchers.append(self._see)

    def _see(self, topic: str, partition: int, record: Written) -> None:
        scheduler = self._broker.scheduler
        if topic != topics.STEP_EVENTS or record.sender == NAME or scheduler.now >= self.until:
            return
        try:
            said = step_pb2.StepEvents.FromString(record.value)
        except Exception:
            return
        for event in said.events:
            scheduler.after(self._random.random(), self._lie, partition, said, event)

    def _lie(self, partition: int, said: step_pb2.StepEvents, event: step_pb2.StepEvent) -> None:
        sends = [
            Send(topic=topics.STEP_EVENTS, partition=partition, value=lie.SerializeToString())
            for lie in self._lies(said, event)
        ]
        self.written += len(sends)
        self._broker.append(NAME, sends)

    def _lies(
        self, said: step_pb2.StepEvents, event: step_pb2.StepEvent
    ) -> Iterator[step_pb2.StepEvents]:
        # In the name of the runner, with no token, one of its own making, and that of the lease with generations to come.
        made_up = event.key.lease_token[:1] + bytes(15)
        for token, later in ((b"", 0), (made_up, 0), (None, 1), (None, 9)):
            lie = step_pb2.StepEvents(runner_id=said.runner_id, incarnation=said.incarnation)
            self._say(lie, event.key, token, later)
            yield lie
        # In its own name, with the token of the other.
        own = step_pb2.StepEvents(runner_id=NAME, incarnation=NAME)
        own.events.add(key=event.key, started=step_pb2.StepStarted())
        self._say(own, event.key, None, 0)
        own.renewal.held.append(event.key)
        yield own
        # What was said, said again.
        yield step_pb2.StepEvents(
            runner_id=said.runner_id, incarnation=said.incarnation, events=said.events
        )

    def _say(
        self, lie: step_pb2.StepEvents, key: step_pb2.StepKey, token: bytes | None, later: int
    ) -> None:
        told = lie.events.add(key=key, **self._random.choice(_LIES))
        told.key.generation += later
        if token is not None:
            told.key.lease_token = token
        if later:
            lie.renewal.queued.append(told.key)
