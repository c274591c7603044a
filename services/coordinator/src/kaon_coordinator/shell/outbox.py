"""Collects what a turn lets out and packs it into few records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from kaon_coordinator.transport.base import Send
from kaon_wire import topics
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

# Bytes of protobuf in one record; brokers refuse more than 1 MiB by default.
RECORD_BYTES = 500_000
# The incarnation that means every runner.
EVERY_RUNNER = "*"


class Outbox:
    """Sends that wait for their transaction.

    Args:
        catalogue: the deployment's topics.
    """

    def __init__(self, catalogue: topics.Catalogue) -> None:
        self._catalogue = catalogue
        self._sends: list[Send] = []
        self._commands: dict[str, list[runner_pb2.RunnerCommand]] = defaultdict(list)

    def history(self, partition: int, events: Iterable[history_pb2.HistoryEvent]) -> None:
        """Publishes history events of one engine partition, in their order."""
        record, size = history_pb2.RunEvents(), 0
        for event in events:
            size += event.ByteSize()
            if size > RECORD_BYTES and record.events:
                self._add(topics.RUN_EVENTS, partition, record.SerializeToString())
                record, size = history_pb2.RunEvents(), event.ByteSize()
            record.events.append(event)
        if record.events:
            self._add(topics.RUN_EVENTS, partition, record.SerializeToString())

    def step_requests(self, record: step_pb2.StepRequests) -> None:
        """Sends requests to a matcher in another process."""
        partition = partition_of(record.pool, self._catalogue.pool_partitions)
        for part in _split(record):
            self._add(topics.STEP_REQUESTS, partition, part.SerializeToString())

    def releases(self, pool: str, pool_epoch: int, by_runner: dict[str, list[step_pb2.StepRequest]]) -> None:
        """Hands steps to runners."""
        for incarnation, requests in by_runner.items():
            partition = partition_of(incarnation, self._catalogue.runner_partitions)
            for chunk in _chunks(requests):
                record = step_pb2.StepReleases(
                    pool=pool, incarnation=incarnation, pool_epoch=pool_epoch, releases=chunk
                )
                self._add(topics.step_ready(pool), partition, record.SerializeToString())

    def command(self, incarnation: str, commands: Iterable[runner_pb2.RunnerCommand]) -> None:
        """Tells one runner, or `EVERY_RUNNER`, something."""
        self._commands[incarnation] += commands

    def wakeup(self, partition: int, wakeup: command_pb2.Wakeup) -> None:
        """Tells the owner of an engine partition something."""
        self._add(topics.RUN_COMMANDS, partition, wakeup.SerializeToString())

    def take(self) -> list[Send]:
        """Everything that was collected; the outbox is empty afterwards."""
        for incarnation, commands in self._commands.items():
            record = runner_pb2.RunnerCommands(incarnation=incarnation, commands=commands)
            for partition in self._runner_partitions(incarnation):
                self._add(topics.RUNNER_COMMANDS, partition, record.SerializeToString())
        self._commands.clear()
        sends, self._sends = self._sends, []
        return sends

    def _runner_partitions(self, incarnation: str) -> range | tuple[int, ...]:
        if incarnation == EVERY_RUNNER:
            return range(self._catalogue.runner_partitions)
        return (partition_of(incarnation, self._catalogue.runner_partitions),)

    def _add(self, topic: str, partition: int, value: bytes) -> None:
        self._sends.append(Send(topic=topic, partition=partition, value=value))


def _chunks(requests: Iterable[step_pb2.StepRequest]) -> Iterable[list[step_pb2.StepRequest]]:
    chunk: list[step_pb2.StepRequest] = []
    size = 0
    for request in requests:
        bytes_ = request.ByteSize()
        if chunk and size + bytes_ > RECORD_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(request)
        size += bytes_
    if chunk:
        yield chunk


def _split(record: step_pb2.StepRequests) -> Iterable[step_pb2.StepRequests]:
    """One record when it fits, else several; what is small goes with the first."""
    chunks = list(_chunks(record.requests)) or [[]]
    for index, chunk in enumerate(chunks):
        part = step_pb2.StepRequests(
            pool=record.pool, partition=record.partition, epoch=record.epoch, requests=chunk
        )
        part.answers_pool_epoch = record.answers_pool_epoch
        if index == 0:
            part.ended.extend(record.ended)
            part.held.extend(record.held)
        yield part
