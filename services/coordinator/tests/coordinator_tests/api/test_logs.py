"""LogService: archived lines, then live ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from grpc import StatusCode, aio

from kaon_coordinator.api.server import ApiServer
from kaon_coordinator.store.base import RunRecord
from kaon_coordinator.store.log_bounds import LogBounds
from kaonapi.log.v1 import log_pb2, log_pb2_grpc
from kaonapi.run.v1 import run_pb2
from kaonapi.step.v1 import step_pb2

from ..store.build import batch, step_row
from .conftest import NOW_US, Api


def _lines(run: run_pb2.Run, *numbers: int, path: str = "work") -> log_pb2.LogLines:
    key = step_pb2.StepKey(run_id=run.run_id, path=path, attempt=1, generation=1)
    lines = [log_pb2.LogLine(sequence=number, text=f"line {number}") for number in numbers]
    return log_pb2.LogLines(key=key, incarnation="life-1", lines=lines)


async def _next(call: Any) -> Any:
    """The next lines; EOF at the end of the call."""
    answer = await asyncio.wait_for(call.read(), 10)
    return answer if answer is aio.EOF else answer.lines


async def _all(call: Any) -> list[log_pb2.LogLines]:
    found = []
    while (lines := await _next(call)) is not aio.EOF:
        found.append(lines)
    return found


def _notice_the_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """An event that is set once the API has read that a run has ended."""
    noticed, loop, get_run = asyncio.Event(), asyncio.get_running_loop(), api.store.get_run

    def reading(tenant: str, run_id: str) -> RunRecord:
        run = get_run(tenant, run_id)
        if run.row.end_us:
            loop.call_soon_threadsafe(noticed.set)
        return run

    monkeypatch.setattr(api.store, "get_run", reading)
    return noticed


async def _begin(api: Api) -> run_pb2.Run:
    """A run with two steps."""
    await api.register()
    run = await api.submit()
    record = api.record(run)
    rows = [step_row(path=path, position=place) for place, path in enumerate(("work", "other"), 1)]
    epoch = api.store.claim_partition(record.partition, "owner")
    api.store.commit(replace(batch(epoch, record), steps={run.run_id: rows}))
    return run


async def test_only_the_last_lines_or_those_of_one_attempt_are_read(api: Api) -> None:
    run = await _begin(api)
    second = _lines(run, 1, 2)
    second.key.attempt = second.key.generation = 2
    await api.archive.archive([_lines(run, 1, 2), _lines(run, 3, 4, 5), second])

    async def read(**fields: int) -> list[tuple[int, int]]:
        records = await _all(
            api.logs.ReadLogs(log_pb2.ReadLogsRequest(run_id=run.run_id, **fields))
        )  # type: ignore[arg-type]
        return [(record.key.attempt, line.sequence) for record in records for line in record.lines]

    assert await read(attempt=2) == [(2, 1), (2, 2)]
    assert await read(tail=1) == [(2, 2)]
    assert await read(tail=4) == [(1, 4), (1, 5), (2, 1), (2, 2)]
    assert await read(tail=2, attempt=1) == [(1, 4), (1, 5)]
    assert len(await read(tail=100)) == 7
    call = api.logs.ReadLogs(log_pb2.ReadLogsRequest(run_id=run.run_id, follow=True, tail=1))
    assert [line.sequence for line in (await _next(call)).lines] == [2]
    await api.archive.archive([_lines(run, 6, 7)])
    assert [line.sequence for line in (await _next(call)).lines] == [6, 7]
    call.cancel()


async def test_archived_lines_are_read_in_the_order_in_which_they_came(api: Api) -> None:
    run = await _begin(api)
    records = [_lines(run, 1, 2), _lines(run, 1, path="other"), _lines(run, 3)]
    await api.archive.archive(records)
    assert await _all(api.logs.ReadLogs(log_pb2.ReadLogsRequest(run_id=run.run_id))) == records
    only = api.logs.ReadLogs(log_pb2.ReadLogsRequest(run_id=run.run_id, path="other"))
    assert await _all(only) == [records[1]]


async def test_more_lines_than_one_page_are_read(api: Api) -> None:
    run = await _begin(api)
    records = [_lines(run, number) for number in range(1, 251)]
    await api.archive.archive(records)
    assert await _all(api.logs.ReadLogs(log_pb2.ReadLogsRequest(run_id=run.run_id))) == records


@pytest.mark.parametrize(
    "here", [True, False], ids=["archived here", "archived by another process"]
)
async def test_following_ends_with_the_run_and_with_its_last_lines(
    api: Api, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await _begin(api)
    archive = (
        api.archive.archive
        if here
        else lambda records: api.thread.run(api.store.archive_logs, records)
    )
    await archive([_lines(run, 1)])
    call = api.logs.ReadLogs(log_pb2.ReadLogsRequest(run_id=run.run_id, follow=True))
    assert await _next(call) == _lines(run, 1)
    await archive([_lines(run, 1, 2)])
    assert await _next(call) == _lines(run, 2)
    noticed = _notice_the_end(api, monkeypatch)
    api.end(run)
    await asyncio.wait_for(noticed.wait(), 10)
    # Lines may come after the end of the run.
    await archive([_lines(run, 3)])
    assert await _all(call) == [_lines(run, 3)]


@asynccontextmanager
async def _served(api: Api, **changes: Any) -> AsyncIterator[log_pb2_grpc.LogServiceAsyncStub]:
    """The logs of the same system from a server with other settings."""
    server = ApiServer(replace(api.parts, **changes))
    address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    try:
        async with aio.insecure_channel(address) as channel:
            yield log_pb2_grpc.LogServiceStub(channel)  # type: ignore[misc]
    finally:
        await server.stop(grace=0)


async def test_whoever_follows_a_run_that_ended_long_ago_does_not_wait(api: Api) -> None:
    run = await _begin(api)
    records = [_lines(run, number) for number in range(1, 251)]
    await api.archive.archive(records)
    api.end(run)
    changes = {"settle_seconds": 3600, "now_us": lambda: NOW_US + 3600 * 10**6}
    async with _served(api, **changes) as logs:
        call = logs.ReadLogs(log_pb2.ReadLogsRequest(run_id=run.run_id, follow=True))
        assert await _all(call) == records


async def test_a_follower_need_not_ask_whether_the_run_has_ended(api: Api) -> None:
    run = await _begin(api)
    await api.archive.archive([_lines(run, 1)])
    async with _served(api, poll_seconds=3600, settle_seconds=0.01) as logs:
        call = logs.ReadLogs(log_pb2.ReadLogsRequest(run_id=run.run_id, follow=True))
        assert await _next(call) == _lines(run, 1)
        api.end(run)
        assert await _all(call) == []


def _gap(first: int, last: int) -> log_pb2.LogGap:
    return log_pb2.LogGap(first_sequence=first, last_sequence=last)


async def test_a_reader_is_told_which_lines_are_not_kept(api: Api) -> None:
    run = await _begin(api)
    head, last = LogBounds().head_lines, 20_000
    for first in range(1, last, 500):
        await api.archive.archive([_lines(run, *range(first, first + 500))])
    read = await _all(api.logs.ReadLogs(log_pb2.ReadLogsRequest(run_id=run.run_id)))
    numbers = [line.sequence for lines in read for line in lines.lines]
    kept = last - LogBounds().tail_lines
    assert numbers == [*range(1, head + 1), *range(kept + 1, last + 1)]
    told = [lines for lines in read if lines.HasField("gap")]
    assert [lines.gap for lines in told] == [_gap(head + 1, kept)]
    assert told[0].lines[0].sequence == kept + 1


async def test_a_follower_is_told_of_what_it_has_not_seen_alone(api: Api) -> None:
    run = await _begin(api)
    head, tail = LogBounds().head_lines, LogBounds().tail_lines
    await api.archive.archive(
        [_lines(run, *range(1, head + 1)), _lines(run, *range(head + 1, head + 101))]
    )
    call = api.logs.ReadLogs(log_pb2.ReadLogsRequest(run_id=run.run_id, follow=True))
    for _ in range(2):
        assert not (await _next(call)).HasField("gap")
    seen = head + 100
    # All of the tail as the follower knows it goes at once, and a line more.
    await api.archive.archive([_lines(run, *range(seen + 1, seen + tail + 2))])
    lines = await _next(call)
    assert lines.gap == _gap(seen + 1, seen + 1)
    assert [line.sequence for line in lines.lines] == [*range(seen + 2, seen + tail + 2)]
    await api.archive.archive([_lines(run, seen + tail + 2)])
    assert not (await _next(call)).HasField("gap")
    late = await _all(api.logs.ReadLogs(log_pb2.ReadLogsRequest(run_id=run.run_id)))
    assert [lines.gap for lines in late if lines.HasField("gap")] == [_gap(head + 1, seen + 2)]
    call.cancel()


async def test_only_logs_of_ones_own_runs_can_be_read(api: Api) -> None:
    run = await _begin(api)
    await api.archive.archive([_lines(run, 1)])
    call = api.logs.ReadLogs(
        log_pb2.ReadLogsRequest(run_id=run.run_id), metadata=(("kaon-tenant", "other"),)
    )
    with pytest.raises(aio.AioRpcError) as told:
        await _all(call)
    assert told.value.code() == StatusCode.NOT_FOUND
