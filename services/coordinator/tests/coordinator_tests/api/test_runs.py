"""RunService: submitting, showing, listing, cancelling."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc import StatusCode, aio
from grpc_status import rpc_status  # type: ignore[import-untyped]

from kaon_coordinator.api import runs
from kaon_coordinator.engine.rows.row_views import step_view
from kaon_coordinator.engine.rows.rows import StepRow
from kaon_coordinator.ids import new_run_id
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import run_pb2
from kaonapi.run.v1 import run_service_pb2 as r

from .conftest import NOW_US, PARTITIONS, Api, submission


async def test_a_submitted_run_is_durable_and_its_owner_is_woken(api: Api) -> None:
    workflow = await api.register()
    run = await api.submit(params_json={"users": "10", "rate": "1"})
    assert run.version == workflow.version
    assert run.status == run_pb2.STATUS_PENDING
    assert dict(run.params_json) == {"users": "10", "rate": "1.0", "name": '"x"', "model": "null"}
    assert (run.tenant, run.submitter) == ("default", "anonymous")
    assert run.create_time.ToMicroseconds() == NOW_US
    partition = partition_of(run.run_id, PARTITIONS)
    assert api.record(run).partition == partition
    assert [row.run_id for row in api.store.unapplied(partition)] == [run.run_id]
    assert await asyncio.wait_for(api.others.wakes.get(), 5) == partition


async def test_a_run_is_acknowledged_while_the_broker_is_down(api: Api) -> None:
    await api.register()
    api.others.broker_is_down = True
    run = await api.submit()
    assert api.record(run).run_id == run.run_id


async def test_labels_are_kept_shown_and_found(api: Api) -> None:
    await api.register()
    run = await api.submit(labels={"team": "search", "why": "test"})
    other = await api.submit()
    assert dict((await api.runs.GetRun(r.GetRunRequest(run_id=run.run_id))).run.labels) == {
        "team": "search",
        "why": "test",
    }
    for labels, found in (({"team": ""}, [run]), ({"team": "ads"}, []), ({}, [other, run])):
        listed = await api.runs.ListRuns(r.ListRunsRequest(labels=labels))
        assert {each.run_id for each in listed.runs} == {each.run_id for each in found}
    again = await api.runs.RerunRun(r.RerunRunRequest(run_id=run.run_id, labels={"why": "again"}))
    assert dict(again.run.labels) == {"team": "search", "why": "again"}


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"a b": "x"}, "a letter or _ first"),
        ({"team": ""}, "use 1 to 200"),
        ({"team": "x" * 201}, "has 201 characters"),
        ({f"l{number}": "x" for number in range(65)}, "there are 65; use at most 64"),
    ],
)
async def test_a_wrong_label_is_named_with_the_rule(
    api: Api, labels: dict[str, str], told: str
) -> None:
    await api.register()
    with pytest.raises(aio.AioRpcError, match=told) as error:
        await api.submit(labels=labels)
    assert error.value.code() == StatusCode.INVALID_ARGUMENT


async def test_a_submission_that_is_only_validated_stores_nothing(api: Api) -> None:
    await api.register()
    run = await api.submit(
        params_json={"users": "10", "rate": "1"}, labels={"a": "b"}, validate_only=True
    )
    assert (run.run_id, run.params_json["rate"], run.labels["a"]) == ("", "1.0", "b")
    with pytest.raises(aio.AioRpcError, match="'rate' must be a number"):
        await api.submit(params_json={"users": "10", "rate": '"fast"'}, validate_only=True)
    assert api.store.list_runs("default").runs == []
    assert api.others.wakes.empty()


async def test_targets_that_are_no_blocks_are_refused_with_similar_names(api: Api) -> None:
    await api.register()
    with pytest.raises(
        aio.AioRpcError, match="until: workflow 'nightly' has no step or block"
    ) as error:
        await api.submit(params_json={"users": "10"}, targets=run_pb2.RunTargets(until=["nothing"]))
    assert error.value.code() == StatusCode.INVALID_ARGUMENT


async def test_a_run_is_put_together_beside_the_event_loop(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.register()
    run = await api.submit()
    api.advance(run, last=2)
    threads: list[str] = []

    def noted(row: StepRow) -> run_pb2.StepView:
        threads.append(threading.current_thread().name)
        return step_view(row)

    monkeypatch.setattr(runs, "step_view", noted)
    assert len((await api.runs.GetRun(r.GetRunRequest(run_id=run.run_id))).steps) == 1
    assert threads[0].startswith("store-reader")
    threads.clear()
    monkeypatch.setattr(runs, "_MANY_STEPS", 0)
    await api.runs.GetRun(r.GetRunRequest(run_id=run.run_id))
    assert threads[0].startswith("store-student")


async def test_an_older_version_can_be_asked_for(api: Api) -> None:
    old = await api.register()
    await api.register(description="newer")
    assert (await api.submit(version=old.version)).version == old.version
    with pytest.raises(aio.AioRpcError, match="sha256:0") as told:
        await api.submit(version="sha256:0")
    assert told.value.code() == StatusCode.NOT_FOUND


async def test_every_wrong_parameter_is_named(api: Api) -> None:
    await api.register()
    wrong = {"user": "1", "name": "7", "rate": '"fast"', "model": '{"uri":1}'}
    with pytest.raises(aio.AioRpcError) as told:
        await api.submit(params_json=wrong)
    assert told.value.code() == StatusCode.INVALID_ARGUMENT
    text = told.value.details() or ""
    for part in (
        "no parameter 'user': did you mean users?",
        "'users' is missing",
        "'name' must be a string, not 7",
        "'rate' must be a number",
        "'model' must be an artifact",
    ):
        assert part in text
    detail = error_details_pb2.BadRequest()
    assert rpc_status.from_call(told.value).details[0].Unpack(detail)
    fields = {violation.field for violation in detail.field_violations}
    assert fields == {f"params_json[{name}]" for name in ("user", "users", "name", "rate", "model")}
    assert api.store.list_runs("default").runs == []


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        ("3", True),
        ("true", False),
        ("3.5", False),
        ('"3"', False),
        ("null", False),
        ("{", False),
        ("NaN", False),
    ],
)
async def test_an_integer_is_nothing_else(api: Api, value: str, holds: bool) -> None:
    await api.register()
    if holds:
        assert (await api.submit(params_json={"users": value})).params_json["users"] == value
    else:
        with pytest.raises(aio.AioRpcError, match="users"):
            await api.submit(params_json={"users": value})


async def test_values_are_kept_as_canonical_json(api: Api) -> None:
    await api.register()
    artifact = '{ "artifact": {"uri": "file:///m",  "digest": "sha256:' + "1" * 64 + '"} }'
    run = await api.submit(params_json={"users": " 10 ", "model": artifact})
    assert run.params_json["users"] == "10"
    assert (
        run.params_json["model"]
        == '{"artifact":{"digest":"sha256:' + "1" * 64 + '","uri":"file:///m"}}'
    )


@pytest.mark.parametrize("name", ["../../x", "", ".", "x" * 256, 7, None])
async def test_the_name_of_an_artifact_is_one_component_of_a_path(api: Api, name: object) -> None:
    await api.register()
    digest = "sha256:" + "1" * 64
    given = json.dumps({"artifact": {"uri": "file:///m", "digest": digest, "name": name}})
    if name == "":
        await api.submit(params_json={"users": "10", "model": given})
        return
    with pytest.raises(aio.AioRpcError) as refused:
        await api.submit(params_json={"users": "10", "model": given})
    assert refused.value.code() == StatusCode.INVALID_ARGUMENT
    told = refused.value.details() or ""
    assert "parameter 'model' is an artifact whose name" in told
    assert ascii(name)[:70] in told


async def test_an_idempotency_key_makes_one_run_of_many_submissions(api: Api) -> None:
    await api.register()
    request = submission(idempotency_key="monday")
    answers = await asyncio.gather(*(api.runs.SubmitRun(request) for _ in range(30)))
    assert len({answer.run.run_id for answer in answers}) == 1
    assert sum(answer.created for answer in answers) == 1
    with pytest.raises(aio.AioRpcError, match="monday") as told:
        await api.submit(idempotency_key="monday", params_json={"users": "11"})
    assert told.value.code() == StatusCode.ALREADY_EXISTS


async def test_many_submissions_at_once_are_all_answered(api: Api) -> None:
    await api.register()
    runs = await asyncio.gather(*(api.submit(params_json={"users": str(n)}) for n in range(300)))
    assert [run.params_json["users"] for run in runs] == [str(n) for n in range(300)]
    assert len({run.run_id for run in runs}) == 300


async def test_a_run_is_shown_with_its_steps_blocks_and_progress(api: Api) -> None:
    await api.register()
    run = await api.submit()
    api.advance(run, last=2)
    view = run_pb2.StepView(path="work", generation=1, progress=0.4, progress_message="epoch 4")
    api.feed.publish_progress(run.run_id, view)
    shown = await api.runs.GetRun(r.GetRunRequest(run_id=run.run_id))
    assert (shown.run.status, shown.run.last_seq) == (run_pb2.STATUS_RUNNING, 2)
    (step,) = shown.steps
    assert (step.path, step.type, step.runner_id) == ("work", "python", "runner-1")
    assert (step.progress, step.progress_message) == (0.4, "epoch 4")
    assert [(block.path, block.kind) for block in shown.blocks] == [("regions", "for_each")]


async def test_progress_of_an_earlier_generation_is_not_shown(api: Api) -> None:
    await api.register()
    run = await api.submit()
    api.advance(run, last=2)
    api.feed.publish_progress(run.run_id, run_pb2.StepView(path="work", generation=7, progress=0.4))
    shown = await api.runs.GetRun(r.GetRunRequest(run_id=run.run_id))
    assert shown.steps[0].progress == 0


async def test_runs_are_listed_in_pages(api: Api) -> None:
    await api.register()
    submitted = {(await api.submit()).run_id for _ in range(5)}
    first = await api.runs.ListRuns(r.ListRunsRequest(page_size=3))
    rest = await api.runs.ListRuns(r.ListRunsRequest(page_size=3, page_token=first.next_page_token))
    assert [len(first.runs), len(rest.runs)] == [3, 2]
    assert {run.run_id for run in (*first.runs, *rest.runs)} == submitted
    assert rest.next_page_token == ""
    assert not (await api.runs.ListRuns(r.ListRunsRequest(workflow="weekly"))).runs
    assert not (await api.runs.ListRuns(r.ListRunsRequest(status=run_pb2.STATUS_FAILED))).runs


@pytest.mark.parametrize("fields", [{"page_size": -1}, {"page_size": 501}, {"page_token": "?"}])
async def test_a_page_that_cannot_be_is_refused(api: Api, fields: dict[str, Any]) -> None:
    with pytest.raises(aio.AioRpcError, match="page_") as told:
        await api.runs.ListRuns(r.ListRunsRequest(**fields))
    assert told.value.code() == StatusCode.INVALID_ARGUMENT


async def test_a_cancel_waits_for_the_owner_of_the_run(api: Api) -> None:
    await api.register()
    run = await api.submit()
    request = r.CancelRunRequest(run_id=run.run_id, reason="enough")
    answer = await api.runs.CancelRun(request, metadata=(("kaon-principal", "ada"),))
    assert answer.run.run_id == run.run_id
    partition = api.record(run).partition
    command = api.store.unapplied(partition)[-1].command
    assert (command.cancel.reason, command.cancel.requester) == ("enough", "ada")
    assert [await asyncio.wait_for(api.others.wakes.get(), 5) for _ in range(2)] == [partition] * 2


async def test_cancelling_an_ended_run_changes_nothing(api: Api) -> None:
    await api.register()
    run = await api.submit()
    api.end(run)
    answer = await api.runs.CancelRun(r.CancelRunRequest(run_id=run.run_id))
    assert answer.run.status == run_pb2.STATUS_SUCCEEDED
    assert len(api.store.unapplied(api.record(run).partition)) == 1


def test_ids_of_runs_sort_by_time_and_differ() -> None:
    ids = [new_run_id(now_us) for now_us in (NOW_US, NOW_US + 1_000, NOW_US + 1_000_000)]
    assert ids == sorted(ids)
    assert len({new_run_id(NOW_US) for _ in range(1_000)}) == 1_000
    assert all(len(run_id) == 26 and run_id.isalnum() for run_id in ids)
