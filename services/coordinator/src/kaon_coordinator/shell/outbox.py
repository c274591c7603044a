"""Collects the sends of a turn and packs them into few records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

from kaon_coordinator.transport.base import Send
from kaon_wire import topics
from kaon_wire.packing import pack_repeated
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

# Bytes of protobuf in one record; brokers refuse more than 1 MiB by default.
RECORD_BYTES = 500_000
T = TypeVar("T")
# The incarnation that addresses every runner of a pool.
EVERY_RUNNER = "*"
Seal: TypeAlias = Callable[[runner_pb2.RunnerCommands], bytes]


def unsigned(record: runner_pb2.RunnerCommands) -> bytes:
    """Serialize commands without a signature."""
    return record.SerializeToString()


class Outbox:
    """Sends that wait for their transaction.

    Args:
        catalogue: The deployment's topics.
        seal: Serializes commands to runners, and signs them where there is a key.
    """

    def __init__(self, catalogue: topics.Catalogue, seal: Seal = unsigned) -> None:
        self._catalogue = catalogue
        self._seal = seal
        self._sends: list[Send] = []
        # By incarnation and pool.
        self._commands: dict[tuple[str, str], list[runner_pb2.RunnerCommand]] = defaultdict(list)

    def history(self, partition: int, events: Iterable[bytes]) -> None:
        """Publish serialized HistoryEvents of one engine partition, in order."""
        for chunk in _chunks(events, len):
            value = pack_repeated(history_pb2.RunEvents.EVENTS_FIELD_NUMBER, chunk)
            self._add(topics.RUN_EVENTS, partition, value)

    def progress(self, partition: int, reports: Iterable[bytes]) -> None:
        """Publish serialized RunProgress of one engine partition."""
        for chunk in _chunks(reports, len):
            value = pack_repeated(history_pb2.RunEvents.PROGRESS_FIELD_NUMBER, chunk)
            self._add(topics.RUN_EVENTS, partition, value)

    def step_requests(self, record: step_pb2.StepRequests) -> None:
        """Send requests to a matcher in another process."""
        partition = partition_of(record.pool, self._catalogue.pool_partitions)
        for part in _split(record):
            self._add(topics.STEP_REQUESTS, partition, part.SerializeToString())

    def releases(self, pool: str, pool_epoch: int, by_runner: dict[str, list[bytes]]) -> None:
        """Release steps to runners: serialized StepRequests."""
        for incarnation, requests in by_runner.items():
            for chunk in _chunks(requests, len):
                releases = pack_repeated(step_pb2.StepReleases.RELEASES_FIELD_NUMBER, chunk)
                self._to_runner(pool, pool_epoch, incarnation, releases)

    def extension(self, pool: str, pool_epoch: int, incarnation: str, extension: bytes) -> None:
        """Let a chain go on at a runner: a serialized ChainExtension."""
        field = step_pb2.StepReleases.EXTENSIONS_FIELD_NUMBER
        self._to_runner(pool, pool_epoch, incarnation, pack_repeated(field, [extension]))

    def _to_runner(self, pool: str, pool_epoch: int, incarnation: str, content: bytes) -> None:
        """Send a record of step-ready whose serialized content is a part of its message."""
        record = step_pb2.StepReleases(pool=pool, incarnation=incarnation, pool_epoch=pool_epoch)
        # The serialized parts of a message can be concatenated, so they need not be parsed.
        partition = partition_of(incarnation, self._catalogue.runner_partitions)
        self._add(topics.step_ready(pool), partition, record.SerializeToString() + content)

    def command(self, incarnation: str, commands: Iterable[runner_pb2.RunnerCommand]) -> None:
        """Send commands to one runner."""
        self._commands[incarnation, ""] += commands

    def command_all(self, pool: str, commands: Iterable[runner_pb2.RunnerCommand]) -> None:
        """Send commands to every runner of a pool."""
        self._commands[EVERY_RUNNER, pool] += commands

    def wakeup(self, partition: int, wakeup: command_pb2.Wakeup) -> None:
        """Send a wake-up to the owner of an engine partition."""
        self._add(topics.RUN_COMMANDS, partition, wakeup.SerializeToString())

    def take(self) -> list[Send]:
        """Return everything collected and empty the outbox."""
        for (incarnation, pool), commands in self._commands.items():
            record = runner_pb2.RunnerCommands(
                incarnation=incarnation, commands=commands, pool=pool
            )
            value = self._seal(record)
            for partition in self._runner_partitions(incarnation):
                self._add(topics.RUNNER_COMMANDS, partition, value)
        self._commands.clear()
        sends, self._sends = self._sends, []
        return sends

    def _runner_partitions(self, incarnation: str) -> range | tuple[int, ...]:
        if incarnation == EVERY_RUNNER:
            return range(self._catalogue.runner_partitions)
        return (partition_of(incarnation, self._catalogue.runner_partitions),)

    def _add(self, topic: str, partition: int, value: bytes) -> None:
        self._sends.append(Send(topic=topic, partition=partition, value=value))


def _chunks(requests: Iterable[T], size_of: Callable[[T], int]) -> Iterable[list[T]]:
    found = list(requests)
    if sum(map(size_of, found)) <= RECORD_BYTES:
        if found:
            yield found
        return
    chunk: list[T] = []
    size = 0
    for request in found:
        bytes_ = size_of(request)
        if chunk and size + bytes_ > RECORD_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(request)
        size += bytes_
    if chunk:
        yield chunk


def _split(record: step_pb2.StepRequests) -> Iterable[step_pb2.StepRequests]:
    """Split into several records if one does not fit; the ends, which are small, travel with the first."""
    if record.ByteSize() <= RECORD_BYTES:
        yield record
        return
    held = list(_chunks(record.held, step_pb2.StepHeld.ByteSize))
    requests = list(_chunks(record.requests, step_pb2.StepRequest.ByteSize))
    parts = [step_pb2.StepRequests(held=chunk) for chunk in held]
    parts += [step_pb2.StepRequests(requests=chunk) for chunk in requests]
    for part in parts or [step_pb2.StepRequests()]:
        part.pool, part.partition, part.epoch = record.pool, record.partition, record.epoch
        part.answers_pool_epoch = record.answers_pool_epoch
        if not parts or part is parts[0]:
            part.ended.extend(record.ended)
        yield part
