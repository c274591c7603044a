"""The catalogue of topics. Nothing else in Kaon may name a topic.

Every topic carries one protobuf message type; one record may carry many events. Partition counts are settings
of a deployment (`Catalogue`), but some must agree: `step-events` with `run-commands` (both belong to the
owner of a run's partition), and `runner-heartbeats` with `step-requests` (both belong to the owner of a
pool).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from google.protobuf.message import Message

from kaonapi.log.v1 import log_pb2
from kaonapi.model.v1 import model_pb2
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

RUN_COMMANDS = "run-commands"
STEP_REQUESTS = "step-requests"
RUNNER_HEARTBEATS = "runner-heartbeats"
RUNNER_COMMANDS = "runner-commands"
STEP_EVENTS = "step-events"
STEP_LOGS = "step-logs"
RUN_EVENTS = "run-events"
MODEL_EVENTS = "model-events"
_OWN = frozenset(
    {
        RUN_COMMANDS,
        STEP_REQUESTS,
        RUNNER_HEARTBEATS,
        RUNNER_COMMANDS,
        STEP_EVENTS,
        STEP_LOGS,
        RUN_EVENTS,
        MODEL_EVENTS,
    }
)
_STEP_READY_PREFIX = "step-ready."
_DEAD_LETTER_SUFFIX = "-dlq"


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One topic: its name, its only message type, its partition count and the retention of its records."""

    name: str
    message: type[Message]
    partitions: int
    # Broker settings, as named by Kafka.
    config: Mapping[str, str] = field(default_factory=dict)


def step_ready(pool: str) -> str:
    """Return the topic by which the matcher of `pool` releases steps to its runners."""
    return _STEP_READY_PREFIX + pool


def dead_letters(topic: str) -> str:
    """Return the dead-letter topic of `topic`, for records that could not be applied, with the reason in their headers."""
    return topic + _DEAD_LETTER_SUFFIX


def is_own(topic: str) -> bool:
    """Tell whether a topic, or its dead letters, is Kaon's own in any deployment, or the broker's own."""
    name = topic.removesuffix(_DEAD_LETTER_SUFFIX)
    return name in _OWN or name.startswith((_STEP_READY_PREFIX, "__"))


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """All topics of one deployment.

    Args:
        run_partitions: The partitions of the engines; a run's partition is stored in its row, so this only ever grows.
        pool_partitions: The partitions of the matchers; each pool belongs to one.
        runner_partitions: The partitions of `step-ready.<pool>` and `runner-commands`; runners share them by hash.
        pools: The pools of this deployment.
        replication_factor: The copies of each partition.
    """

    run_partitions: int = 8
    pool_partitions: int = 4
    runner_partitions: int = 16
    pools: tuple[str, ...] = ("default",)
    replication_factor: int = 1

    def topics(self) -> tuple[Topic, ...]:
        """Return every topic that must exist before a client starts, including dead-letter topics."""
        work = tuple(self._work_topics())
        letters = tuple(
            Topic(
                name=dead_letters(topic.name),
                message=topic.message,
                partitions=1,
                config=_retention(14 * DAY_MS),
            )
            for topic in work
        )
        return work + letters

    def partitions_of(self, topic: str) -> int:
        """Return the partition count of `topic`; raise KeyError when the catalogue does not contain it."""
        return {entry.name: entry.partitions for entry in self.topics()}[topic]

    def _work_topics(self) -> Iterable[Topic]:
        yield Topic(
            name=RUN_COMMANDS,
            message=command_pb2.Wakeup,
            partitions=self.run_partitions,
            config=_retention(HOUR_MS),
        )
        yield Topic(
            name=STEP_EVENTS,
            message=step_pb2.StepEvents,
            partitions=self.run_partitions,
            config=_retention(7 * DAY_MS),
        )
        yield Topic(
            name=STEP_REQUESTS,
            message=step_pb2.StepRequests,
            partitions=self.pool_partitions,
            config=_retention(HOUR_MS),
        )
        yield Topic(
            name=RUNNER_HEARTBEATS,
            message=runner_pb2.RunnerHeartbeat,
            partitions=self.pool_partitions,
            config=_retention(HOUR_MS),
        )
        yield Topic(
            name=RUNNER_COMMANDS,
            message=runner_pb2.RunnerCommands,
            partitions=self.runner_partitions,
            config=_retention(HOUR_MS),
        )
        for pool in self.pools:
            yield Topic(
                name=step_ready(pool),
                message=step_pb2.StepReleases,
                partitions=self.runner_partitions,
                config=_retention(HOUR_MS),
            )
        # The broker's own time: a live tail seeks by it, whatever the runners' clocks.
        logs = {**_retention(3 * DAY_MS), "message.timestamp.type": "LogAppendTime"}
        yield Topic(
            name=STEP_LOGS, message=log_pb2.LogLines, partitions=self.run_partitions, config=logs
        )
        yield Topic(
            name=RUN_EVENTS,
            message=history_pb2.RunEvents,
            partitions=self.run_partitions,
            config=_retention(7 * DAY_MS),
        )
        yield Topic(
            name=MODEL_EVENTS,
            message=model_pb2.Announcement,
            partitions=1,
            config=_retention(30 * DAY_MS),
        )


def _retention(milliseconds: int) -> dict[str, str]:
    return {"retention.ms": str(milliseconds)}
