"""What is kept of a long log, and what leaves of one that comes too fast: the beginning and the end."""

from __future__ import annotations

import asyncio
import os
import random
import re
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from kaon_runner.logs.step_log import STDERR, STDOUT, StepLog
from kaon_runner.logs.store import LogStore
from kaon_runner.supervision.child import Child
from kaon_runner.workers.output import WorkerOutput
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2


def _line(number: int, size: int = 8) -> bytes:
    return b"%0*d\n" % (size - 1, number)


@pytest.mark.parametrize("total", [0, 1, 10, 64, 65, 90, 128, 129, 200, 5000])
@pytest.mark.parametrize("seed", range(3))
def test_the_beginning_and_the_end_of_a_log_are_kept_and_what_is_left_out_is_told(
    tmp_path: Path, total: int, seed: int
) -> None:
    draw, store = random.Random(seed), LogStore(tmp_path, "log", 1024)
    data = b"".join(_line(number) for number in range(total))
    at, told = 0, 0
    while at < len(data):
        size = draw.choice([1, 8, 100, 900, 3000])
        told += store.add(data[at : at + size])
        at += size
        assert store.size <= 1024
    path = store.finish()
    kept = b"" if path is None else path.read_bytes()
    assert store.lines == kept.count(b"\n")
    found = re.search(rb"\n?\[kaon: (\d+) bytes are left out here.*\]\n", kept)
    assert (found is not None) == bool(told) == (told == 1)
    if found is None:
        assert kept == data
    else:
        head, tail = kept[: found.start()] + b"\n", kept[found.end() :]
        assert data.startswith(head)
        assert data.endswith(tail)
        assert tail.startswith(b"0"), "a whole line"
        assert len(head) + int(found.group(1)) + len(tail) == len(data)
        assert len(head) == 512
        assert 248 <= len(tail) <= 512
    assert {each.name for each in tmp_path.iterdir()} == ({"log"} if data else set())
    store.remove()
    assert not list(tmp_path.iterdir())


class Flow:
    """A log whose lines arrive here."""

    def __init__(self, directory: Path) -> None:
        self.now = 0.0
        self.records: list[log_pb2.LogLines] = []
        store = LogStore(directory, "log", 64 * 1024 * 1024)
        self.log = StepLog(step_pb2.StepKey(), store, self._take, lambda: self.now)

    def _take(self, record: log_pb2.LogLines) -> bool:
        self.records.append(record)
        return True

    @property
    def lines(self) -> list[log_pb2.LogLine]:
        return [
            line
            for record in self.records
            for line in record.lines
            if line.stream != log_pb2.STREAM_SYSTEM
        ]

    @property
    def dropped(self) -> int:
        return sum(record.dropped for record in self.records)

    def flood(self, total: int) -> None:
        """Prints so much at once that most of it is lost."""
        for first in range(0, total, 1_000):
            text = b"".join(_line(number, 64) for number in range(first, first + 1_000))
            self.log.feed(STDOUT if first % 2_000 else STDERR, text)


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    return Flow(tmp_path)


def _is_complete(flow: Flow, total: int) -> None:
    """Every line has come or is counted, in order, and the last ones have come."""
    numbers = [line.sequence for line in flow.lines]
    assert numbers == sorted(set(numbers))
    assert [int(line.text) for line in flow.lines] == [number - 1 for number in numbers]
    assert len(numbers) + flow.dropped == total
    assert numbers[-4_000:] == [*range(total - 4_000 + 1, total + 1)]


def test_a_step_goes_on_when_its_complete_log_cannot_be_written(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.touch()
    # As on a full disk: nothing can be written there.
    flow = Flow(full / "logs")
    for number in range(3_000):
        flow.log.feed(STDOUT, _line(number, 64))
    flow.log.end_streams()
    flow.log.flush()
    assert [int(line.text) for line in flow.lines] == list(range(3_000))
    remarks = [
        line.text
        for record in flow.records
        for line in record.lines
        if line.stream == log_pb2.STREAM_SYSTEM
    ]
    assert remarks == [
        "the runner cannot keep the complete log (Not a directory): there are only these lines"
    ]
    assert flow.log.store.size == 0


def test_the_last_lines_of_a_step_that_prints_too_fast_leave_at_its_end(flow: Flow) -> None:
    flow.flood(75_000)
    flow.log.end_streams()
    flow.log.flush()
    _is_complete(flow, 75_000)
    assert flow.dropped > 35_000


def test_they_leave_when_the_step_is_quiet_and_before_what_it_says_then(flow: Flow) -> None:
    flow.flood(75_000)
    flow.log.tick()
    sent = len(flow.lines)
    assert flow.log.waiting
    flow.now += 1
    flow.log.tick()
    _is_complete(flow, 75_000)
    assert len(flow.lines) - sent >= 4_000
    flow.flood(75_000)
    flow.now += 1
    flow.log.feed(STDERR, _line(75_000, 64))
    flow.log.flush()
    assert [line.sequence for line in flow.lines][-4_000:] == [*range(146_002, 150_002)]


def test_they_are_lost_while_the_step_goes_on_too_fast(flow: Flow) -> None:
    for _ in range(10):
        flow.flood(13_000)
        flow.now += 0.1
        flow.log.tick()
    flow.log.end_streams()
    flow.log.flush()
    numbers = [line.sequence for line in flow.lines]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + flow.dropped == 130_000
    assert sum(len(line.text) + 1 for line in flow.lines) <= (2 + 1) * 1024 * 1024 + 256 * 1024


def test_a_remark_does_not_overtake_what_is_held(flow: Flow) -> None:
    flow.flood(50_000)
    flow.log.remark("something is left behind")
    flow.log.flush()
    told = [line.sequence for record in flow.records for line in record.lines]
    assert told == sorted(set(told))
    assert told[-1] == 50_001


async def test_a_line_of_one_stream_ends_before_another_streams_begins_in_the_stored_log(
    tmp_path: Path,
) -> None:
    store = LogStore(tmp_path, "log", 10_000)
    log = StepLog(step_pb2.StepKey(run_id="r", path="a"), store, lambda _: True)
    output = WorkerOutput(lambda: log, pytest.fail)
    pipes = [os.pipe() for _ in range(2)]
    for readable, _ in pipes:
        os.set_blocking(readable, False)
    output.attach(cast("Child", SimpleNamespace(stdout=pipes[0][0], stderr=pipes[1][0])))
    output.watch()
    for number, (_, writable) in enumerate((*pipes, *pipes)):
        os.write(writable, f"line {number}\n".encode())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    output.unwatch()
    for _, writable in pipes:
        os.write(writable, f"\n{output.token} 1\n".encode())
    output.drain(1, log)
    output.close()
    for _, writable in pipes:
        os.close(writable)
    path = store.finish()
    assert path is not None
    assert path.read_bytes() == b"line 0\nline 1\nline 2\nline 3\n"


@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 1, 1_000_000])
@pytest.mark.parametrize("piece", [1_000, 64 * 1024, 2_000_000])
def test_a_long_line_is_one_line_that_says_how_long_it_is(
    flow: Flow, size: int, piece: int
) -> None:
    data = b"before\n" + b"x" * size + b"\nafter\n"
    for at in range(0, len(data), piece):
        flow.log.feed(STDOUT, data[at : at + piece])
    flow.log.flush()
    before, long, after = flow.lines
    assert (before.text, after.text) == ("before", "after")
    assert [line.sequence for line in flow.lines] == [1, 2, 3]
    assert long.text == "x" * min(size, 64 * 1024)
    assert long.size_bytes == (size if size > 64 * 1024 else 0)
    assert [line.size_bytes for line in (before, after)] == [0, 0]


def test_a_long_line_of_a_step_that_prints_too_fast_keeps_its_number_and_its_length(
    flow: Flow,
) -> None:
    flow.log.feed(STDOUT, b"a" * 3_000_000)
    flow.log.feed(STDOUT, b"b" * 100_000 + b"\nend\n")
    flow.log.end_streams()
    flow.log.flush()
    long, end = flow.lines
    assert (long.sequence, long.size_bytes, long.text) == (1, 3_100_000, "a" * 64 * 1024)
    assert (end.sequence, end.text, flow.dropped) == (2, "end", 0)


def test_no_character_is_shown_that_was_cut_in_two(flow: Flow) -> None:
    flow.log.feed(STDOUT, b"x" + "é".encode() * 40_000 + b"\n")
    flow.log.flush()
    (line,) = flow.lines
    assert line.text == "x" + "é" * 32_767
    assert line.size_bytes == 80_001


def test_the_rest_of_a_line_that_was_told_early_says_that_it_goes_on(flow: Flow) -> None:
    flow.log.feed(STDOUT, b"half")
    flow.now += 0.3
    flow.log.tick()
    flow.log.feed(STDOUT, b" a line\nnext\nlast")
    flow.now += 0.3
    flow.log.tick()
    flow.log.feed(STDOUT, b"\nnew\n")
    flow.log.flush()
    assert [(line.text, line.continues) for line in flow.lines] == [
        ("half", False),
        (" a line", True),
        ("next", False),
        ("last", False),
        ("new", False),
    ]
