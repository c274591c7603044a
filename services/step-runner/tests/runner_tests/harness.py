"""Plays the matcher and the engine towards a real runner: releases steps, sends commands, hears events."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kaon_runner.bootstrap import RunnerService, build_runner
from kaon_runner.settings import Settings
from kaon_runner.transport.command_gate import OPEN_GATE, CommandGate
from kaon_runner.transport.memory import MemoryTransport
from kaon_service.heartbeat_signatures import HeartbeatSigner
from kaon_wire.memory import MemoryBroker
from kaon_wire.partitioning import partition_of
from kaon_wire.topics import (
    RUNNER_COMMANDS,
    RUNNER_HEARTBEATS,
    STEP_EVENTS,
    STEP_LOGS,
    Catalogue,
    step_ready,
)
from kaonapi.log.v1 import log_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2

CODE = Path(__file__).parent / "code"
FINAL = ("succeeded", "failed", "stopped", "handed_back")


class MemorySystem:
    """An in-memory broker and one runner on it."""

    def __init__(
        self,
        work: Path,
        gate: CommandGate = OPEN_GATE,
        signer: HeartbeatSigner | None = None,
        **settings: Any,
    ) -> None:
        self.catalogue = Catalogue()
        self.broker = MemoryBroker(self.catalogue.topics())
        values: dict[str, Any] = {
            "runner_id": "runner-a",
            "slots": 2,
            "work": work,
            "artifacts": (work / "store").as_uri(),
            "drain_seconds": 5.0,
            **settings,
        }
        self.settings = Settings(**values)
        self.runner: RunnerService = build_runner(
            self.settings,
            MemoryTransport(self.broker, pool=self.settings.pool, gate=gate),
            signer=signer,
        )
        self._changed = threading.Condition()
        self.events: list[step_pb2.StepEvent] = []
        self.records: list[step_pb2.StepEvents] = []
        self.logs: list[log_pb2.LogLines] = []
        self.heartbeats: list[runner_pb2.RunnerHeartbeat] = []
        # The same, as they came.
        self.beats: list[bytes] = []
        self._reading = threading.Lock()
        self._reader = self.broker.reader(self._read)
        for topic in (STEP_EVENTS, STEP_LOGS, RUNNER_HEARTBEATS):
            for partition in self.broker.partitions(topic):
                self._reader.assign(topic, partition)

    def __enter__(self) -> MemorySystem:
        self.runner.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.stop(0.1)
        self._reader.close()

    def release(self, *requests: step_pb2.StepRequest, incarnation: str | None = None) -> None:
        """Hands steps to the runner."""
        target = incarnation or self.runner.incarnation
        record = step_pb2.StepReleases(
            pool="default", incarnation=target, pool_epoch=1, releases=requests
        )
        topic = step_ready("default")
        partition = partition_of(self.runner.incarnation, self.catalogue.partitions_of(topic))
        self.broker.produce(topic, partition, record.SerializeToString())

    def command(self, **command: Any) -> None:
        """Tells the runner something."""
        record = runner_pb2.RunnerCommands(
            incarnation=self.runner.incarnation, commands=[runner_pb2.RunnerCommand(**command)]
        )
        self.commanded(record.SerializeToString())

    def commanded(self, value: bytes) -> None:
        """Puts a record before the runner's eyes."""
        partition = partition_of(
            self.runner.incarnation, self.catalogue.partitions_of(RUNNER_COMMANDS)
        )
        self.broker.produce(RUNNER_COMMANDS, partition, value)

    def signal(
        self, key: step_pb2.StepKey, name: str, payload: Any, seq: int = 1, epoch: int = 1
    ) -> None:
        """Sends a message to a step."""
        self.command(
            signal=runner_pb2.SignalStep(
                key=key, epoch=epoch, name=name, payload_json=json.dumps(payload), signal_seq=seq
            )
        )

    def grant(self, key: step_pb2.StepKey, epoch: int = 1) -> None:
        """Lets an exclusive step begin."""
        self.command(grant=runner_pb2.GrantStep(key=key, epoch=epoch))

    def revoke(
        self, key: step_pb2.StepKey, reason: int, epoch: int = 1, *, unproven: bool = False
    ) -> None:
        """Takes a lease back."""
        self.command(
            revoke=runner_pb2.RevokeStep(
                key=key,
                epoch=epoch,
                partition=0,
                reason=reason,  # type: ignore[arg-type]
                unproven=unproven,
            )
        )

    def of(self, key: step_pb2.StepKey) -> list[str]:
        """The kinds of events heard about a lease, in order."""
        return [str(event.WhichOneof("event")) for event in tuple(self.events) if event.key == key]

    def wait(self, found: Callable[[], Any], seconds: float = 20.0) -> Any:
        """What `found` returns as soon as it is true.

        Raises:
            AssertionError: it was not within `seconds`.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while not (result := found()):
                left = deadline - time.monotonic()
                assert left > 0, f"not within {seconds} s; events: {self.events[-5:]}"
                self._changed.wait(min(left, 0.05))
        return result

    def started(self, key: step_pb2.StepKey) -> None:
        """Waits until the step has started."""
        self.wait(lambda: "started" in self.of(key))

    def final(self, key: step_pb2.StepKey, seconds: float = 20.0) -> step_pb2.StepEvent:
        """The event that ends a lease."""

        def found() -> step_pb2.StepEvent | None:
            for event in tuple(self.events):
                if event.key == key and event.WhichOneof("event") in FINAL:
                    return event
            return None

        event: step_pb2.StepEvent = self.wait(found, seconds)
        return event

    def lines(self, key: step_pb2.StepKey) -> list[log_pb2.LogLine]:
        """The log lines of a lease, in order."""
        return [line for record in tuple(self.logs) if record.key == key for line in record.lines]

    def _read(self) -> None:
        with self._reading:
            records = self._reader.poll(100_000)
        if not records:
            return
        with self._changed:
            for record in records:
                self._take(record.topic, record.value)
            self._changed.notify_all()

    def _take(self, topic: str, value: bytes) -> None:
        if topic == STEP_EVENTS:
            events = step_pb2.StepEvents.FromString(value)
            self.records.append(events)
            self.events.extend(events.events)
        elif topic == STEP_LOGS:
            self.logs.append(log_pb2.LogLines.FromString(value))
        else:
            self.beats.append(value)
            self.heartbeats.append(runner_pb2.RunnerHeartbeat.FromString(value))


def request(
    kind: str,
    config: Mapping[str, Any],
    *,
    inputs: Mapping[str, Any] | None = None,
    outputs: Mapping[str, str] | None = None,
    path: str | None = None,
    generation: int = 1,
    epoch: int = 1,
    timeout_ms: int = 0,
    isolation: str = "UNSPECIFIED",
    resources: Mapping[str, int] | None = None,
    bundle: str = "",
    checkpoint: Any = None,
    exclusive: bool = False,
    serves: bool = False,
    requirements: str = "",
) -> step_pb2.StepRequest:
    """A release of one step."""
    spec = step_pb2.StepSpec(
        type=kind,
        workflow="test",
        tenant="default",
        inputs_json={name: json.dumps(value) for name, value in (inputs or {}).items()},
        outputs={
            name: definition_pb2.ValueType.Value("VALUE_TYPE_" + type_.upper())
            for name, type_ in (outputs or {}).items()
        },
        config_json=json.dumps(config),
        timeout_ms=timeout_ms,
        isolation=definition_pb2.Isolation.Value("ISOLATION_" + isolation),
        code_bundle=bundle,
        checkpoint_json="" if checkpoint is None else json.dumps(checkpoint),
        exclusive=exclusive,
        serves=serves,
        requirements_file=requirements,
    )
    key = step_pb2.StepKey(
        run_id="run-1",
        path=path or f"step-{uuid.uuid4().hex[:8]}",
        attempt=1,
        generation=generation,
    )
    return step_pb2.StepRequest(
        key=key,
        partition=0,
        epoch=epoch,
        pool="default",
        resources=definition_pb2.Resources(**(resources or {})),
        spec=spec,
    )


def python(function: str, **rest: Any) -> step_pb2.StepRequest:
    """A python step of tests/code/steps.py."""
    return request("python", {"entry": f"runner_test_steps:{function}"}, **rest)


def shell(*argv: str, env: Mapping[str, str] | None = None, **rest: Any) -> step_pb2.StepRequest:
    """A shell step."""
    return request("shell", {"argv": list(argv), "env": dict(env or {})}, **rest)
