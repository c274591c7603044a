"""Lists and counts of runs: every filter in every order gives what the rows say, in pages that lose nothing."""

from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode, aio

from kaon_coordinator.store.base import PartitionBatch
from kaonapi.run.v1 import run_pb2
from kaonapi.view.v1 import runs_pb2, view_service_pb2

from ..store.build import new_run, run_row, step_row
from .conftest import Served


async def test_a_token_counts_for_its_order_alone_and_long_values_are_left_out(
    served: Served,
) -> None:
    run = served.store.submit_run(new_run(params={"users": "1", "long": '"' + "x" * 2_000 + '"'}))[
        0
    ]
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
        told = await served.stub.ListValues(
            runs_pb2.ListValuesRequest(workflow="nightly", **fields)
        )
        return [(each.run_id, each.value_json, each.metric) for each in told.values]

    assert await values(path="train", metric="loss", runs=2) == [
        ("run-5", "", 5.5),
        ("run-4", "", 4.5),
    ]
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
