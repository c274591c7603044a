"""Gates that wait: of the caller's tenant, and of its roles where that is asked for."""

from __future__ import annotations

import json

import pytest
from grpc import StatusCode, aio

from kaon_coordinator.engine.rows.rows import BlockRow
from kaon_coordinator.store.base import PartitionBatch
from kaonapi.run.v1 import run_pb2
from kaonapi.view.v1 import runs_pb2

from ..store.build import new_run, run_row
from .conftest import Served

WAITING, SUCCEEDED = run_pb2.STATUS_WAITING, run_pb2.STATUS_SUCCEEDED


def gate(path: str, kind: str, *roles: str, status: run_pb2.Status.ValueType = WAITING) -> BlockRow:
    data = json.dumps({"gate": kind, "roles": roles, "message": f"may {path} go on?"})
    return BlockRow(path=path, position=1, kind="gate", status=status, data=data)


def runs_with_gates(served: Served) -> None:
    epoch = served.store.claim_partition(3, "owner")
    rows = {
        "old": [gate("ask", "approval", "ml"), gate("done", "approval", status=SUCCEEDED)],
        "new": [gate("anybody", "approval"), gate("data", "signal", "ops")],
        "ended": [gate("late", "approval")],
        "strange": [gate("theirs", "approval")],
    }
    for index, (run_id, blocks) in enumerate(rows.items()):
        tenant = "strangers" if run_id == "strange" else "default"
        served.store.submit_run(new_run(run_id=run_id, tenant=tenant, now_us=index + 1))
        ended = {"status": run_pb2.STATUS_CANCELLED, "end_us": 9} if run_id == "ended" else {}
        row = run_row(run_id, seq=0, **ended)
        batch = PartitionBatch(partition=3, epoch=epoch, runs=[row], blocks={run_id: blocks})
        served.store.commit(batch)


async def listed(served: Served, roles: str = "", **wish: object) -> list[tuple[str, str]]:
    request = runs_pb2.ListGatesRequest(**wish)  # type: ignore[arg-type]
    told = await served.stub.ListGates(request, metadata=(("kaon-roles", roles),))
    return [(each.line.run.run_id, each.gate.path) for each in told.gates]


async def test_gates_of_open_runs_that_wait_are_told_the_newest_runs_first(served: Served) -> None:
    runs_with_gates(served)
    assert await listed(served) == [("new", "anybody"), ("new", "data"), ("old", "ask")]
    assert await listed(served, kinds=["signal"]) == [("new", "data")]
    told = await served.stub.ListGates(runs_pb2.ListGatesRequest(page_size=2))
    assert (len(told.gates), told.more) == (2, True)
    assert told.gates[0].gate.message == "may anybody go on?"


async def test_who_asks_for_what_is_answerable_gets_gates_of_the_own_roles(served: Served) -> None:
    runs_with_gates(served)
    assert await listed(served, "ml", answerable=True) == [("new", "anybody"), ("old", "ask")]
    assert await listed(served, answerable=True) == [("new", "anybody")]


async def test_more_than_a_page_may_have_is_refused(served: Served) -> None:
    with pytest.raises(aio.AioRpcError, match="page_size") as error:
        await served.stub.ListGates(runs_pb2.ListGatesRequest(page_size=501))
    assert error.value.code() == StatusCode.INVALID_ARGUMENT
