"""Every list leaves in pages, and a large run in parts: together they are the whole, once each."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import grpc
import pytest

from kaon_coordinator.engine.rows.rows import BlockRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.base import PartitionBatch
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.schedule.v1 import schedule_pb2 as s
from kaonapi.schedule.v1 import schedule_pb2_grpc
from kaonapi.workflow.v1 import workflow_service_pb2 as w

from ..store.build import block_row, step_row
from .conftest import Api


async def pages(
    call: Callable[[Any], Awaitable[Any]], request: Any, told: Callable[[Any], list[str]]
) -> list[list[str]]:
    """Read page after page."""
    found = []
    while True:
        page = await call(request)
        found.append(told(page))
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_workflows_schedules_and_permits_come_in_pages(api: Api) -> None:
    names = [f"w{number}" for number in range(5)]
    schedules = schedule_pb2_grpc.ScheduleServiceStub(api.channel)
    for name in names:
        await api.register(name=name)
        schedule = s.Schedule(
            name=name,
            workflow=name,
            params_json={"users": "1"},
            cron=s.Cron(expression="0 3 * * *"),
        )
        await schedules.PutSchedule(s.PutScheduleRequest(schedule=schedule))
        await schedules.SetPermits(s.SetPermitsRequest(permits=s.Permits(tag=name, limit=2)))
    by_two = [names[:2], names[2:4], names[4:]]
    for call, request, told in (
        (
            api.workflows.ListWorkflows,
            w.ListWorkflowsRequest(page_size=2),
            lambda page: [each.definition.name for each in page.workflows],
        ),
        (
            schedules.ListSchedules,
            s.ListSchedulesRequest(page_size=2),
            lambda page: [each.name for each in page.schedules],
        ),
        (
            schedules.ListPermits,
            s.ListPermitsRequest(page_size=2),
            lambda page: [each.tag for each in page.permits],
        ),
    ):
        assert await pages(call, request, told) == by_two


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7])
async def test_a_run_comes_in_parts_steps_first(api: Api, size: int) -> None:
    await api.register()
    run = await api.submit()
    record = api.record(run)
    epoch = api.store.claim_partition(record.partition, "owner")
    steps = [step_row(f"s{number}", position=2 * number) for number in range(4)]
    blocks = [block_row(f"b{number}", position=2 * number + 1) for number in range(2)]
    api.store.commit(
        PartitionBatch(
            partition=record.partition,
            epoch=epoch,
            steps={run.run_id: steps},
            blocks={run.run_id: blocks},
        )
    )
    found = await pages(
        api.runs.GetRun,
        r.GetRunRequest(run_id=run.run_id, page_size=size),
        lambda page: [each.path for each in (*page.steps, *page.blocks)],
    )
    assert [*itertools.chain(*found)] == ["s0", "s1", "s2", "s3", "b0", "b1"]
    assert all(len(part) == size for part in found[:-1])


@pytest.mark.parametrize("size", [1, 2, 3, 4])
async def test_a_foreach_counts_its_cells_of_later_parts(api: Api, size: int) -> None:
    await api.register()
    run = await api.submit()
    record = api.record(run)
    own = '{"block":"regions"}'
    cells = [
        block_row(f"regions[{key}]", position=3 + key, kind="cell", data=own) for key in range(4)
    ]
    api.store.commit(
        PartitionBatch(
            partition=record.partition,
            epoch=api.store.claim_partition(record.partition, "owner"),
            blocks={run.run_id: [block_row("regions", position=2), *cells]},
        )
    )
    whole = (await api.runs.GetRun(r.GetRunRequest(run_id=run.run_id))).blocks

    found = await pages(
        api.runs.GetRun,
        r.GetRunRequest(run_id=run.run_id, page_size=size),
        lambda page: list(page.blocks),
    )

    assert [*itertools.chain(*found)] == list(whole)
    assert dict(whole[0].cells) == {"RUNNING": 4}


@pytest.mark.parametrize(
    "token", ["x", "OTk5OTk5OTk5OTk5Om5vdGhpbmc=", "OTk5OTk5OTk5OTk5OTk6c3RlcHM="]
)
async def test_a_token_of_nothing_is_refused(api: Api, token: str) -> None:
    await api.register()
    run = await api.submit()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.runs.GetRun(r.GetRunRequest(run_id=run.run_id, page_token=token))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_page_counts_the_cells_of_its_blocks_and_reads_none_for_blocks_without(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.register()
    run = await api.submit()
    record = api.record(run)
    rows = [
        BlockRow(path="gate", position=1, kind="gate", status=t.SUCCEEDED, data="{}"),
        BlockRow(path="each", position=2, kind="for_each", status=t.RUNNING, data="{}"),
        *(
            BlockRow(
                path=f"each[{number}]",
                position=3 + number,
                kind="cell",
                status=t.SUCCEEDED,
                data='{"block":"each"}',
            )
            for number in range(3)
        ),
    ]
    batch = PartitionBatch(
        partition=record.partition,
        epoch=api.store.claim_partition(record.partition, "owner"),
        blocks={run.run_id: rows},
    )
    api.store.commit(batch)
    read: list[tuple[set[str], int]] = []
    real, listed = api.store.cell_counts, api.store.list_blocks

    def cell_counts(
        run_id: str, blocks: Collection[str], after: int = -1
    ) -> Mapping[str, Mapping[int, int]]:
        read.append((set(blocks), after))
        return real(run_id, blocks, after)

    def list_blocks(run_id: str, after: int = -1, limit: int | None = None) -> list[BlockRow]:
        assert limit is not None, "a page reads all blocks of the run"
        return listed(run_id, after, limit)

    monkeypatch.setattr(api.store, "cell_counts", cell_counts)
    monkeypatch.setattr(api.store, "list_blocks", list_blocks)
    request = r.GetRunRequest(run_id=run.run_id, page_size=1)
    found = await pages(
        api.runs.GetRun,
        request,
        lambda page: [f"{each.path} {each.started}" for each in page.blocks],
    )
    assert [*itertools.chain(*found)] == ["gate 0", "each 3"]
    assert read == [({"each"}, 2)]
