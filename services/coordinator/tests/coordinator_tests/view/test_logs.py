"""Pages and counts of logs: every line once, in either direction, from the archive or from the whole log of an attempt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from grpc import StatusCode, aio

from kaon_coordinator.store.base import PartitionBatch, Store
from kaon_coordinator.store.log_bounds import LogBounds
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.view import kept_logs
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import run_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.view.v1 import logs_pb2

from ..engine.build import fan, step, workflow
from ..store.build import run_row, step_row
from .conftest import Played, Served, play

OUT, ERR = log_pb2.STREAM_STDOUT, log_pb2.STREAM_STDERR


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that keeps eight lines of a lease."""
    bounds = LogBounds(head_lines=4, tail_lines=4)
    return open_store(f"sqlite:///{tmp_path}/kaon.db", log_bounds=bounds)


def text_of(number: int) -> str:
    return f"line {number} {'Error: bad' if number % 3 == 0 else 'fine'}"


def print_lines(run: Played, first: int, last: int, *, path: str = "s", attempt: int = 1) -> None:
    """Lines in records of two."""
    key = step_pb2.StepKey(run_id=run.run_id, path=path, attempt=attempt, generation=attempt)
    lines = [
        log_pb2.LogLine(
            sequence=number,
            time_us=number * 1_000,
            stream=ERR if number % 2 else OUT,
            text=text_of(number),
        )
        for number in range(first, last + 1)
    ]
    for at in range(0, len(lines), 2):
        run.store.archive_logs(
            [log_pb2.LogLines(key=key, incarnation="i", lines=lines[at : at + 2])]
        )


def wish(run: Played, **fields: object) -> logs_pb2.LogFilter:
    return logs_pb2.LogFilter(run_id=run.run_id, **fields)  # type: ignore[arg-type]


async def forwards(
    served: Served, wanted: logs_pb2.LogFilter, size: int
) -> list[logs_pb2.LogEntry]:
    """All lines, from the first one on."""
    found: list[logs_pb2.LogEntry] = []
    request = logs_pb2.QueryLogsRequest(filter=wanted, page_size=size)
    while True:
        page = await served.stub.QueryLogs(request)
        found += page.entries
        request.cursor = page.newer_cursor
        if page.at_end:
            return found


async def backwards(
    served: Served, wanted: logs_pb2.LogFilter, size: int
) -> list[logs_pb2.LogEntry]:
    """All lines, from the last one back, in their order."""
    found: list[logs_pb2.LogEntry] = []
    request = logs_pb2.QueryLogsRequest(filter=wanted, page_size=size, backwards=True)
    while True:
        page = await served.stub.QueryLogs(request)
        found = [*page.entries, *found]
        request.cursor = page.older_cursor
        if not page.older_cursor:
            return found


def texts(entries: Sequence[logs_pb2.LogEntry]) -> list[str]:
    return [entry.text for entry in entries]


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("chunks", [200, 4_000])
async def test_archived_lines_come_once_each_in_both_directions(
    served: Served, size: int, chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_logs, "READ_CHUNKS", chunks)
    run = play(served.store, workflow(fan(step("s"), step("r"))))
    print_lines(run, 1, 8)
    print_lines(run, 1, 5, path="r")
    print_lines(run, 1, 3, attempt=2)
    cases = [
        (wish(run), [*range(1, 9), *range(1, 6), *range(1, 4)]),
        (wish(run, path="s", attempt=1), list(range(1, 9))),
        (wish(run, streams=[ERR], path="s", attempt=1), [1, 3, 5, 7]),
        (wish(run, from_us=3_000, until_us=6_000, path="s", attempt=1), [3, 4, 5]),
        (wish(run, text="Error", path="s"), [3, 6, 3]),
        (wish(run, text="eRRor", ignore_case=True, path="r"), [3]),
        (wish(run, text="none"), []),
        (wish(run, path="other"), []),
    ]
    for wanted, numbers in cases:
        for entries in (
            await forwards(served, wanted, size),
            await backwards(served, wanted, size),
        ):
            assert texts(entries) == [text_of(number) for number in numbers]


async def test_a_page_goes_on_from_any_line_in_either_direction(served: Served) -> None:
    run = play(served.store, workflow(fan(step("s"))))
    print_lines(run, 1, 8)
    lines = await forwards(served, wish(run), 100)
    after = logs_pb2.QueryLogsRequest(filter=wish(run), cursor=lines[3].cursor, page_size=2)
    assert texts((await served.stub.QueryLogs(after)).entries) == texts(lines[4:6])
    after.backwards = True
    page = await served.stub.QueryLogs(after)
    assert texts(page.entries) == texts(lines[1:3])
    # And back again: nothing twice, nothing left out.
    again = logs_pb2.QueryLogsRequest(filter=wish(run), cursor=page.newer_cursor, page_size=2)
    assert texts((await served.stub.QueryLogs(again)).entries) == texts(lines[3:5])
    tail = await served.stub.QueryLogs(
        logs_pb2.QueryLogsRequest(filter=wish(run), backwards=True, page_size=2)
    )
    assert (texts(tail.entries), tail.at_end) == (texts(lines[6:]), True)
    follow = logs_pb2.QueryLogsRequest(filter=wish(run), cursor=tail.newer_cursor)
    assert not (await served.stub.QueryLogs(follow)).entries
    for wrong in ("x", "k:1", "w:0:0", "w:0:0:0"):
        with pytest.raises(aio.AioRpcError, match="cursor") as told:
            await served.stub.QueryLogs(logs_pb2.QueryLogsRequest(filter=wish(run), cursor=wrong))
        assert told.value.code() == StatusCode.INVALID_ARGUMENT


async def test_places_of_a_text_count_utf_16_units_and_long_lines_are_cut(served: Served) -> None:
    run = play(served.store, workflow(fan(step("s"))))
    key = step_pb2.StepKey(run_id=run.run_id, path="s", attempt=1, generation=1)
    lines = [
        log_pb2.LogLine(sequence=1, text="\U0001f600 née NÉE"),
        log_pb2.LogLine(sequence=2, text="é" * 20_000),
    ]
    served.store.archive_logs([log_pb2.LogLines(key=key, incarnation="i", lines=lines)])
    entries = await forwards(served, wish(run, text="née", ignore_case=True), 10)
    assert [(each.start, each.end) for each in entries[0].matches] == [(3, 6), (7, 10)]
    (cut,) = await forwards(served, wish(run, text="éé"), 10)
    assert (len(cut.text), cut.cut_bytes, len(cut.matches)) == (8_192, 40_000, 100)


def end_with(served: Served, run: Played, log: bytes, **counted: int) -> None:
    """Ends the step with this whole log."""
    stored = json.dumps({"artifact": served.artifacts.put_bytes(log, "text").to_json()} | counted)
    data = json.dumps({"type": "python", "log": stored})
    row = step_row("s", name="s", status=run_pb2.STATUS_FAILED, end_us=5, data=data)
    batch = PartitionBatch(
        partition=3,
        epoch=run.epoch,
        runs=[run_row(run.run_id, seq=0)],
        steps={run.run_id: [row]},
    )
    served.store.commit(batch)


@pytest.mark.parametrize("end", [b"\n", b""])
async def test_what_the_archive_has_left_out_comes_from_the_whole_log(
    served: Served, end: bytes
) -> None:
    run = play(served.store, workflow(fan(step("s"))))
    print_lines(run, 1, 40)
    wanted = wish(run, path="s", attempt=1)
    kept = await forwards(served, wanted, 100)
    assert len(kept) < 40
    assert sum(entry.missing_before for entry in kept) == 40 - len(kept)
    all_lines = [text_of(number) for number in range(1, 41)]
    end_with(served, run, "\n".join(all_lines).encode() + end)
    for size in (1, 7, 100):
        assert texts(await forwards(served, wanted, size)) == all_lines
        told_back = await backwards(served, wanted, size)
        assert texts(told_back) == all_lines
        assert [entry.sequence for entry in told_back] == [*range(1, 41)]
    wanted.text = "Error"
    found = await backwards(served, wanted, 2)
    assert texts(found) == [line for line in all_lines if "Error" in line]
    assert [entry.sequence for entry in found] == [*range(3, 41, 3)]
    assert await forwards(served, wanted, 3) == found
    assert [(each.start, each.end) for each in found[0].matches] == [(7, 12)]
    after = logs_pb2.QueryLogsRequest(
        filter=wish(run, path="s", attempt=1), cursor=found[0].cursor, page_size=1
    )
    assert texts((await served.stub.QueryLogs(after)).entries) == [text_of(4)]
    after.backwards = True
    assert texts((await served.stub.QueryLogs(after)).entries) == [text_of(2)]
    told = await served.stub.CountLogs(logs_pb2.CountLogsRequest(filter=wanted, buckets=4))
    assert (told.whole, told.lines, told.matches, sum(told.buckets)) == (True, 40, 13, 13)
    for cursor, hits in zip(told.cursors, told.buckets, strict=True):
        bucket = logs_pb2.QueryLogsRequest(filter=wanted, cursor=cursor, page_size=hits)
        assert len((await served.stub.QueryLogs(bucket)).entries) == hits


async def test_lines_and_matches_are_counted_by_bucket_attempt_and_stream(served: Served) -> None:
    run = play(served.store, workflow(fan(step("s"))))
    print_lines(run, 1, 8)
    print_lines(run, 1, 3, attempt=2)
    request = logs_pb2.CountLogsRequest(filter=wish(run, text="Error"), buckets=2)
    told = await served.stub.CountLogs(request)
    assert (told.lines, told.matches, list(told.buckets)) == (11, 3, [1, 2])
    assert (dict(told.attempts), dict(told.streams)) == ({1: 8, 2: 3}, {"stdout": 5, "stderr": 6})
    page = logs_pb2.QueryLogsRequest(filter=wish(run), cursor=told.cursors[1], page_size=1)
    assert texts((await served.stub.QueryLogs(page)).entries) == [text_of(6)]


@pytest.mark.parametrize("end", [b"\n", b""])
async def test_the_end_of_a_whole_log_is_numbered_without_reading_it(
    served: Served, end: bytes
) -> None:
    run = play(served.store, workflow(fan(step("s"))))
    print_lines(run, 1, 40)
    log = "\n".join(text_of(number) for number in range(1, 41)).encode() + end
    # Another number than it has: so it is the runner's that is told.
    end_with(served, run, log, lines=1_000_000)
    last = 1_000_000 if end else 1_000_001
    request = logs_pb2.QueryLogsRequest(
        filter=wish(run, path="s", attempt=1), backwards=True, page_size=3
    )
    for number in range(last, last - 9, -3):
        page = await served.stub.QueryLogs(request)
        assert [entry.sequence for entry in page.entries] == [*range(number - 2, number + 1)]
        request.cursor = page.older_cursor


async def test_a_page_begins_at_a_line_by_its_number(served: Served) -> None:
    run = play(served.store, workflow(fan(step("s"))))
    print_lines(run, 1, 40)
    of_one = wish(run, path="s", attempt=1)

    async def begun(line: int) -> list[int]:
        request = logs_pb2.QueryLogsRequest(filter=of_one, from_line=line, page_size=3)
        return [entry.sequence for entry in (await served.stub.QueryLogs(request)).entries]

    # The archive has lines 1 to 4 and 37 to 40.
    assert [await begun(line) for line in (1, 3, 20, 39, 41)] == [
        [1, 2, 3],
        [3, 4, 37],
        [37, 38, 39],
        [39, 40],
        [],
    ]
    end_with(served, run, "".join(f"{text_of(number)}\n" for number in range(1, 41)).encode())
    assert [await begun(line) for line in (1, 20, 39, 41, 2**40)] == [
        [1, 2, 3],
        [20, 21, 22],
        [39, 40],
        [],
        [],
    ]
    for wrong in (
        logs_pb2.QueryLogsRequest(filter=wish(run, path="s"), from_line=1),
        logs_pb2.QueryLogsRequest(filter=of_one, from_line=1, backwards=True),
        logs_pb2.QueryLogsRequest(filter=of_one, from_line=1, cursor="w:0:0:0"),
    ):
        with pytest.raises(aio.AioRpcError, match="from_line") as told:
            await served.stub.QueryLogs(wrong)
        assert told.value.code() == StatusCode.INVALID_ARGUMENT


async def test_a_line_of_megabytes_is_one_line_in_both_directions(served: Served) -> None:
    run = play(served.store, workflow(fan(step("s"))))
    print_lines(run, 1, 40)
    long = "x" * 3_000_000
    end_with(served, run, f"first\nbegin {long}\nmiddle\n{long} end\nlast\n".encode())
    wanted = wish(run, path="s", attempt=1)
    for entries in (await forwards(served, wanted, 2), await backwards(served, wanted, 2)):
        assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
        assert [entry.text[:7] for entry in entries] == [
            "first",
            "begin x",
            "middle",
            "xxxxxxx",
            "last",
        ]
        assert [entry.cut_bytes for entry in entries] == [0, 3_000_006, 0, 3_000_004, 0]
        assert {len(entry.text) for entry in entries if entry.cut_bytes} == {16_384}
    told = await served.stub.CountLogs(logs_pb2.CountLogsRequest(filter=wanted))
    assert told.lines == 5
