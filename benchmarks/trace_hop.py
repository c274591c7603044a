"""Where the time of a hop and of a trigger goes: `python -m benchmarks --trace-hop`.

Nothing is injected into the product. The stamps are those that it makes anyway: of the ledger (start and end of a step's code),
of what runners report, of the history, and of records of Kafka (milliseconds).
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from benchmarks.kaon_side import KaonSide
from benchmarks.ledger import Execution, Ledger
from kaon_wire import topics
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2

_SECONDS = 60.0
_LONG = 50
_POOL = "default"
# A stage's name and its length in milliseconds.
Stage = tuple[str, float]


@dataclass(kw_only=True)
class Stamps:
    """What is known of each step of one run, by name of the step; microseconds since the epoch."""

    ready: dict[str, float] = field(default_factory=dict)
    # When the record of the release was given to the client of Kafka.
    released: dict[str, float] = field(default_factory=dict)
    # When the runner says that the step started, and succeeded.
    started: dict[str, float] = field(default_factory=dict)
    succeeded: dict[str, float] = field(default_factory=dict)
    # When the record of the success was given to the client of Kafka.
    sent: dict[str, float] = field(default_factory=dict)
    # Steps that their runner began by itself.
    following: set[str] = field(default_factory=set)


def hop_stages(before: Execution, after: Execution, stamps: Stamps) -> tuple[str, list[Stage]]:
    """Return the kind of a hop, and its stages in order: their lengths add up to the hop."""
    ended, begun = before.end / 1000, after.start / 1000
    told = stamps.succeeded[before.step]
    if after.step in stamps.following:
        points = [
            ("code ends, to the runner's loop", told),
            ("next start taken and reported", stamps.started[after.step]),
            ("send, acknowledgement, to the worker", begun),
        ]
        return "hop by succession", _stages(ended, points)
    points = [
        ("code ends, to the runner's loop", told),
        ("the runner's record is sent", stamps.sent[before.step]),
        ("Kafka, poll, to the turn that decides", stamps.ready[after.step]),
        ("decision, commit, match, send of the release", stamps.released[after.step]),
        ("Kafka, poll, start is reported", stamps.started[after.step]),
        ("to the worker", begun),
    ]
    return "hop by request", _stages(ended, points)


def trigger_stages(began: int, first: Execution, stamps: Stamps) -> list[Stage]:
    """Return the stages of a trigger, in order, from the call at `began` (nanoseconds) to the step's start."""
    points = [
        ("call, handler, to the turn that decides", stamps.ready[first.step]),
        ("decision, commit, match, send of the release", stamps.released[first.step]),
        ("Kafka, poll, start is reported", stamps.started[first.step]),
        ("to the worker", first.start / 1000),
    ]
    return _stages(began / 1000, points)


def _stages(start: float, points: Iterable[tuple[str, float]]) -> list[Stage]:
    found = []
    for name, end in points:
        found.append((name, (end - start) / 1000))
        start = end
    return found


def read_stamps(
    history: Iterable[history_pb2.HistoryEvent],
    records: Iterable[tuple[str, float, bytes]],
    run_id: str,
) -> Stamps:
    """Return the stamps of a run.

    Args:
        history: Its events.
        records: Topic, time in microseconds, and value of what was written meanwhile.
        run_id: The run.
    """
    stamps = Stamps()
    for event in history:
        if event.HasField("step_became_ready"):
            stamps.ready.setdefault(event.step_became_ready.path, event.time_us)
    for topic, at, value in records:
        if topic == topics.STEP_EVENTS:
            for told in step_pb2.StepEvents.FromString(value).events:
                if told.key.run_id == run_id:
                    _note(stamps, told, at)
        else:
            for request in step_pb2.StepReleases.FromString(value).releases:
                if request.key.run_id == run_id:
                    stamps.released.setdefault(request.key.path, at)
    return stamps


def _note(stamps: Stamps, told: step_pb2.StepEvent, at: float) -> None:
    """Note what a runner says; what it says again does not count."""
    path = told.key.path
    if told.HasField("started"):
        stamps.started.setdefault(path, told.time_us)
        if told.key.succession:
            stamps.following.add(path)
    elif told.HasField("succeeded"):
        stamps.succeeded.setdefault(path, told.time_us)
        stamps.sent.setdefault(path, at)


class Tap:
    """Reads what is written to topics from now on.

    Args:
        address: The broker.
        names: The topics.
    """

    def __init__(self, address: str, names: Sequence[str]) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": "benchmark-trace",
                "enable.auto.commit": False,
                "enable.partition.eof": False,
            }
        )
        known = self._consumer.list_topics(timeout=_SECONDS).topics
        self._ends = {
            (name, number): self._end(name, number)
            for name in names
            for number in known[name].partitions
        }
        self._consumer.assign(
            [TopicPartition(name, number, end) for (name, number), end in self._ends.items()]
        )

    def take(self) -> list[tuple[str, float, bytes]]:
        """Return the records that were written since the last time: topic, microseconds since the epoch, value.

        Raises:
            TimeoutError: The broker does not give them.
        """
        ends = {place: self._end(*place) for place in self._ends}
        missing = sum(ends.values()) - sum(self._ends.values())
        deadline, found = time.monotonic() + _SECONDS, []
        while len(found) < missing:
            message = self._consumer.poll(max(0.0, deadline - time.monotonic()))
            if message is None:
                raise TimeoutError(f"{len(found)} of {missing} records after {_SECONDS:.0f} s")
            if message.error() is not None:
                raise RuntimeError(f"the broker refuses records: {message.error()}")
            # Kafka cuts milliseconds off: in the middle is right on average.
            at = 1000.0 * (message.timestamp()[1] + 0.5)
            found.append((message.topic(), at, message.value()))
        self._ends = ends
        return found

    def close(self) -> None:
        """Give the connections up."""
        self._consumer.close()

    def _end(self, name: str, number: int) -> int:
        _, end = self._consumer.get_watermark_offsets(TopicPartition(name, number), _SECONDS)
        return int(end)


def trace(side: KaonSide, work: Path, repeats: int) -> str:
    """Return a table of the stages of hops (chains of 50) and of triggers.

    Args:
        side: Started, and warm.
        work: Where ledgers are written.
        repeats: How many chains; there are eight times as many triggers.
    """
    tap = Tap(side.system.kafka.address, (topics.STEP_EVENTS, topics.step_ready(_POOL)))
    found: dict[str, list[list[Stage]]] = defaultdict(list)
    try:
        for number in range(repeats):
            _, executions, stamps = _run(side, tap, work / f"hop-{number}.ledger", "chain", _LONG)
            for before, after in itertools.pairwise(executions):
                kind, stages = hop_stages(before, after, stamps)
                found[kind].append(stages)
        for number in range(8 * repeats):
            ledger = work / f"trigger-{number}.ledger"
            began, (first,), stamps = _run(side, tap, ledger, "trigger", 1)
            found["trigger"].append(trigger_stages(began, first, stamps))
    finally:
        tap.close()
    return "\n".join(_rows(side.name, found))


def _run(
    side: KaonSide, tap: Tap, path: Path, shape: str, steps: int
) -> tuple[int, list[Execution], Stamps]:
    ledger = Ledger(path=path)
    began = side.submit(shape, path, ["r0"])
    ledger.wait(steps, seconds=_SECONDS)
    ((run_id, history),) = side.histories().items()
    ledger.check(["r0"], [f"s{number}" for number in range(1, steps + 1)])
    return began, ledger.runs()["r0"], read_stamps(history, tap.take(), run_id)


def _rows(side: str, found: Mapping[str, Sequence[Sequence[Stage]]]) -> Iterator[str]:
    yield f"| {side}: stage | p50 ms | p99 ms |"
    yield "| -- | -- | -- |"
    for kind, samples in found.items():
        yield _row(f"**{kind}** ({len(samples)})", [sum(ms for _, ms in each) for each in samples])
        for column in zip(*samples, strict=True):
            yield _row(column[0][0], [ms for _, ms in column])


def _row(name: str, values: Sequence[float]) -> str:
    longest = sorted(values)[min(len(values) - 1, int(0.99 * len(values)))]
    return f"| {name} | {statistics.median(values):.2f} | {longest:.2f} |"
