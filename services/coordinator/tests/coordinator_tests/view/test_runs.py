"""Lists and counts of runs: every filter in every order gives what the rows say, in pages that lose nothing."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode, aio

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store import run_queries
from kaon_coordinator.store.base import PartitionBatch, RunRecord, Store
from kaonapi.run.v1 import run_pb2
from kaonapi.view.v1 import runs_pb2, view_service_pb2

from ..store.build import event, new_run, run_row, step_row
from .conftest import Served

HOUR_US = 3_600_000_000
ORDERS = [order for order in runs_pb2.RunOrder.values() if order]


def filled(store: Store, number: int = 60) -> list[RunRecord]:
    """Runs of every kind, two of them at each moment."""
    draw, epoch = random.Random(3), store.claim_partition(3, "owner")
    for index in range(number):
        create_us = (index // 2 + 1) * HOUR_US
        run = store.submit_run(
            new_run(
                run_id=f"run-{index:03}",
                workflow=draw.choice(["a", "b", "c"]),
                params={"users": str(draw.randint(1, 3)), "name": '"U1 \\"users\\":\\"2\\""'},
                submitter=draw.choice(["ada", "eve"]),
                origin=draw.choice(["", "schedule:nightly", "schedule:weekly", "backfill:x"]),
                parent_run_id="run-000" if index % 7 == 6 else "",
                labels={"team": draw.choice(["x", "y"])} if index % 3 else {},
                now_us=create_us,
            )
        )[0]
        status = draw.choice([t.PENDING, t.RUNNING, t.SUCCEEDED, t.FAILED])
        ended = create_us + draw.randint(1, 9) * HOUR_US if status in t.TERMINAL else 0
        row = run_row(
            run.run_id,
            status=status,
            seq=1,
            start_us=create_us + index,
            end_us=ended,
            data='{"late":true}' if index % 5 == 0 else "{}",
        )
        store.commit(PartitionBatch(partition=3, epoch=epoch, history=[event(run.run_id, 1)], runs=[row]))
    store.submit_run(new_run(run_id="theirs", tenant="theirs", workflow="a", labels={"team": "x"}))
    page = store.list_runs("default", page_size=number)
    return list(page.runs)


def at(time_us: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(time_us)
    return stamp


CASES: dict[str, tuple[dict[str, Any], Callable[[RunRecord], bool]]] = {
    "all": ({}, lambda run: True),
    "status": ({"statuses": [t.FAILED]}, lambda run: run.row.status == t.FAILED),
    "statuses": ({"statuses": [t.FAILED, t.RUNNING]}, lambda run: run.row.status in {t.FAILED, t.RUNNING}),
    "workflows": ({"workflows": ["a", "c"]}, lambda run: run.workflow in {"a", "c"}),
    "workflow and status": (
        {"workflows": ["b"], "statuses": [t.SUCCEEDED]},
        lambda run: run.workflow == "b" and run.row.status == t.SUCCEEDED,
    ),
    "created": (
        {"created_from": at(5 * HOUR_US), "created_until": at(20 * HOUR_US)},
        lambda run: 5 * HOUR_US <= run.create_us < 20 * HOUR_US,
    ),
    "ended": (
        {"ended_from": at(9 * HOUR_US), "ended_until": at(20 * HOUR_US)},
        lambda run: 9 * HOUR_US <= run.row.end_us < 20 * HOUR_US,
    ),
    "origins": ({"origins": ["schedule:", "manual"]}, lambda run: not run.origin.startswith("backfill")),
    "origin": ({"origins": ["schedule:weekly"]}, lambda run: run.origin == "schedule:weekly"),
    "submitters": ({"submitters": ["eve"]}, lambda run: run.submitter == "eve"),
    "parent": ({"parent_run_id": "run-000"}, lambda run: run.parent_run_id == "run-000"),
    "roots": ({"roots_only": True}, lambda run: not run.parent_run_id),
    "params": ({"params_json": {"users": " 2 "}}, lambda run: run.params["users"] == "2"),
    "label": ({"labels": {"team": "x"}}, lambda run: run.labels.get("team") == "x"),
    "any label": ({"labels": {"team": ""}}, lambda run: "team" in run.labels),
    "late": ({"late": True}, lambda run: '"late":true' in run.row.data),
    "not late": (
        {"late": False, "workflows": ["a"]},
        lambda run: run.workflow == "a" and run.row.data == "{}",
    ),
    "text": ({"text": "RUN-01"}, lambda run: "run-01" in run.run_id),
    "percent": ({"text": "%"}, lambda run: False),
    "ids": ({"run_ids": ["run-003", "theirs"]}, lambda run: run.run_id == "run-003"),
}


def _key(order: int) -> Callable[[RunRecord], tuple[int, str]]:
    if order in {runs_pb2.RUN_ORDER_NEWEST, runs_pb2.RUN_ORDER_OLDEST}:
        return lambda run: (run.create_us, run.run_id)
    if order in {runs_pb2.RUN_ORDER_ENDED_LAST, runs_pb2.RUN_ORDER_ENDED_FIRST}:
        return lambda run: (run.row.end_us, run.run_id)
    return lambda run: (run.row.end_us - run.row.start_us, run.run_id)


_FORWARDS = {runs_pb2.RUN_ORDER_OLDEST, runs_pb2.RUN_ORDER_ENDED_FIRST, runs_pb2.RUN_ORDER_SHORTEST}
_BY_SUBMISSION = {runs_pb2.RUN_ORDER_NEWEST, runs_pb2.RUN_ORDER_OLDEST}


@pytest.mark.parametrize("window", [4, 20_000])
async def test_every_filter_in_every_order_gives_its_runs_once(
    served: Served, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_queries, "WINDOW_RUNS", window)
    records = filled(served.store)
    for (fields, holds), order in itertools.product(CASES.values(), ORDERS):
        expected = [run for run in records if holds(run) and (order in _BY_SUBMISSION or run.row.end_us)]
        expected.sort(key=_key(order), reverse=order not in _FORWARDS)
        found: list[str] = []
        token = ""
        while True:
            page = served.reads.query_runs(
                "default",
                runs_pb2.RunFilter(**fields),
                order=order,  # type: ignore[arg-type]
                page_size=7,
                page_token=token,
            )
            found += [run.run_id for run in page.runs]
            token = page.next_page_token
            if not token:
                break
        assert found == [run.run_id for run in expected], (fields, order)


async def test_counts_are_those_of_the_rows(served: Served) -> None:
    records = filled(served.store)
    for fields, holds in CASES.values():
        wish = runs_pb2.CountRunsRequest(filter=runs_pb2.RunFilter(**fields))
        told = await served.stub.CountRuns(wish)
        expected = Counter(run.row.status for run in records if holds(run))
        assert {each.status: each.count for each in told.totals} == dict(expected), fields
        wish.buckets = 5
        told = await served.stub.CountRuns(wish)
        buckets = Counter((run.create_us - told.from_us) // told.bucket_us for run in records if holds(run))
        assert {each.index: sum(c.count for c in each.counts) for each in told.buckets} == dict(buckets)


async def test_a_token_counts_for_its_order_alone_and_long_values_are_left_out(served: Served) -> None:
    run = served.store.submit_run(new_run(params={"users": "1", "long": '"' + "x" * 2_000 + '"'}))[0]
    served.store.submit_run(new_run())
    told = await served.stub.QueryRuns(runs_pb2.QueryRunsRequest(page_size=1))
    wrong = runs_pb2.QueryRunsRequest(
        page_size=1, page_token=told.next_page_token, order=runs_pb2.RUN_ORDER_LONGEST
    )
    with pytest.raises(aio.AioRpcError, match="next_page_token") as error:
        await served.stub.QueryRuns(wrong)
    assert error.value.code() == StatusCode.INVALID_ARGUMENT
    (line,) = (
        await served.stub.QueryRuns(
            runs_pb2.QueryRunsRequest(filter=runs_pb2.RunFilter(run_ids=[run.run_id]))
        )
    ).runs
    assert (list(line.long_params), dict(line.run.params_json)) == (["long"], {"users": "1"})


async def test_values_over_the_newest_runs(served: Served) -> None:
    epoch = served.store.claim_partition(3, "owner")
    for index in range(6):
        run = served.store.submit_run(new_run(run_id=f"run-{index}", now_us=index + 1))[0]
        data = f'{{"metrics":{{"loss":{index}.5}},"outputs":{{"rmse":"{index}"}},"type":"python"}}'
        batch = PartitionBatch(
            partition=3,
            epoch=epoch,
            runs=[run_row(run.run_id, seq=0, outputs=f'{{"model":"{index}"}}')],
            steps={run.run_id: [step_row("train", data=data)]},
        )
        served.store.commit(batch)

    async def values(**fields: Any) -> list[tuple[str, str, float]]:
        told = await served.stub.ListValues(runs_pb2.ListValuesRequest(workflow="nightly", **fields))
        return [(each.run_id, each.value_json, each.metric) for each in told.values]

    assert await values(path="train", metric="loss", runs=2) == [("run-5", "", 5.5), ("run-4", "", 4.5)]
    assert await values(path="train", output="rmse", runs=1) == [("run-5", "5", 0.0)]
    assert await values(output="model", runs=1) == [("run-5", "5", 0.0)]
    assert await values(output="none") == []
    with pytest.raises(aio.AioRpcError, match="either an output or a metric"):
        await values(path="train")


async def test_nothing_of_another_tenant_is_shown_by_any_method(served: Served) -> None:
    run = served.store.submit_run(new_run(tenant="theirs", labels={"team": "x"}))[0]
    methods = view_service_pb2.DESCRIPTOR.services_by_name["ViewService"].methods
    asked = 0
    for method in methods:
        request = method.input_type._concrete_class()
        if "run_id" in method.input_type.fields_by_name:
            request.run_id = run.run_id
        elif method.name in {"QueryLogs", "CountLogs"}:
            request.filter.run_id = run.run_id
        else:
            continue
        asked += 1
        with pytest.raises(aio.AioRpcError) as error:
            await getattr(served.stub, method.name)(request)
        assert error.value.code() == StatusCode.NOT_FOUND, method.name
    assert asked == 9
    assert not (await served.stub.QueryRuns(runs_pb2.QueryRunsRequest())).runs
    assert not (await served.stub.CountRuns(runs_pb2.CountRunsRequest())).totals
    assert not (
        await served.stub.ListValues(runs_pb2.ListValuesRequest(workflow="nightly", output="x"))
    ).values
    assert run.row.status == run_pb2.STATUS_PENDING
