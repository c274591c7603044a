"""A gate's roles hold on every way past it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from kaon_coordinator.engine.state import transitions as t
from kaonapi.run.v1 import run_pb2
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.workflow.v1 import definition_pb2 as d

from ..engine.build import chain, step
from ..shell.player import playing
from ..shell.world import World
from .whole import Whole, serving

ANN = (("kaon-principal", "ann"), ("kaon-roles", "guest"))
LEA = (("kaon-principal", "lea"), ("kaon-roles", "lead"))
BO = (("kaon-principal", "bo"), ("kaon-roles", "lead"))
Way = Callable[[Whole, str, Any], Awaitable[object]]


def approval(name: str = "ask", **fields: Any) -> d.Block:
    """An approval by role lead."""
    asked = d.Approval(**({"roles": ["lead"], "reject_fails": True} | fields))
    return d.Block(name=name, gate=d.Gate(approval=asked))


def group(name: str, *blocks: d.Block) -> d.Block:
    """Blocks, one after the other, in a group."""
    return d.Block(name=name, group=d.Group(body=chain(*blocks)))


@asynccontextmanager
async def waiting(
    path: Path, *blocks: d.Block, at: str = "ask"
) -> AsyncIterator[tuple[Whole, str]]:
    """A run of ann's whose gate waits."""
    world = World(path)
    async with serving(world) as whole, playing(world):
        parameter = d.Parameter(name="size", type=d.VALUE_TYPE_INT, default_json="1")
        whole.register(*blocks, parameters=[parameter])
        asked = r.SubmitRunRequest(workflow="w")
        run_id = (await whole.runs.SubmitRun(asked, metadata=ANN)).run.run_id
        await whole.waits_at(run_id, at, t.WAITING)
        yield whole, run_id


def mark(path: str, status: int = t.SUCCEEDED, **outputs: str) -> Way:
    """Settle something by hand."""
    given = outputs or {"out": "1"}

    async def way(whole: Whole, run_id: str, who: Any) -> object:
        return await whole.runs.MarkBlock(
            r.MarkBlockRequest(
                run_id=run_id,
                path=path,
                status=status,  # type: ignore[arg-type]
                outputs_json=given if status == t.SUCCEEDED else {},
                reason="why",
            ),
            metadata=who,
        )

    return way


def cancel(path: str, *, skip: bool) -> Way:
    """Stop something, or skip it."""

    async def way(whole: Whole, run_id: str, who: Any) -> object:
        request = r.CancelRunRequest(run_id=run_id, path=path, skip=skip)
        return await whole.runs.CancelRun(request, metadata=who)

    return way


async def answer(whole: Whole, run_id: str, who: Any) -> object:
    """Approve."""
    request = r.AnswerGateRequest(run_id=run_id, path="ask", approved=True)
    return await whole.runs.AnswerGate(request, metadata=who)


async def denied(call: Awaitable[object]) -> str:
    """The text of a refusal for want of a role."""
    with pytest.raises(aio.AioRpcError) as refused:
        await call
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED, refused.value.details()
    return refused.value.details() or ""


ANSWER = {"approved": "true", "by": '"x"', "comment": '""'}
WAYS = {
    "answer": answer,
    "mark the gate": mark("ask", **ANSWER),
    "mark the gate failed": mark("ask", t.FAILED),
    "skip the gate": cancel("ask", skip=True),
    "mark what comes after": mark("build"),
    "mark what comes later": mark("publish"),
    "skip what comes after": cancel("build", skip=True),
    "stop what comes after": cancel("build", skip=False),
}


@pytest.mark.parametrize("way", WAYS)
async def test_who_may_not_answer_a_gate_gets_past_it_in_no_way(tmp_path: Path, way: str) -> None:
    blocks = (step("train"), approval(), step("build"), step("publish"))
    async with waiting(tmp_path, *blocks) as (whole, run_id):
        text = await denied(WAYS[way](whole, run_id, ANN))
        assert "lead" in text
        assert whole.member.store.store.find_row(run_id, "ask").status == t.WAITING  # type: ignore[union-attr]
        await WAYS[way](whole, run_id, LEA)


@pytest.mark.parametrize(
    "way", [cancel("around", skip=True), cancel("inner", skip=True), mark("after")]
)
async def test_what_is_around_a_gate_leads_past_it_too(tmp_path: Path, way: Way) -> None:
    blocks = (group("around", group("inner", approval())), step("after"))
    async with waiting(tmp_path, *blocks, at="around/inner/ask") as (whole, run_id):
        assert "gate ask" in await denied(way(whole, run_id, ANN))
        await way(whole, run_id, LEA)


async def test_what_came_before_the_gate_and_what_was_let_through_is_marked_by_anybody(
    tmp_path: Path,
) -> None:
    blocks = (step("train"), approval(), step("build"), d.Block(name="more", gate=go()))
    async with waiting(tmp_path, *blocks) as (whole, run_id):
        await answer(whole, run_id, LEA)
        await whole.waits_at(run_id, "more", t.WAITING)
        await mark("more", payload="1", by='"x"')(whole, run_id, ANN)
        assert await whole.ended(run_id) == t.SUCCEEDED


def go(*roles: str) -> d.Gate:
    """A gate for a signal, from one of some roles."""
    return d.Gate(signal=d.SignalGate(name="go", roles=roles))


async def test_a_restart_or_a_retry_opens_the_gate_for_the_same_roles(tmp_path: Path) -> None:
    async with waiting(tmp_path, step("train"), approval(), step("build")) as (whole, run_id):
        no = r.AnswerGateRequest(run_id=run_id, path="ask", approved=False)
        await whole.runs.AnswerGate(no, metadata=LEA)
        assert await whole.ended(run_id) == t.FAILED
        await denied(mark("build")(whole, run_id, ANN))
        await whole.runs.RestartRun(r.RestartRunRequest(run_id=run_id, path="build"), metadata=ANN)
        assert await whole.ended(run_id) == t.FAILED
        await whole.runs.RetryRun(r.RetryRunRequest(run_id=run_id), metadata=ANN)
        await whole.waits_at(run_id, "ask", t.WAITING)
        await denied(answer(whole, run_id, ANN))
        again = await whole.runs.RerunRun(r.RerunRunRequest(run_id=run_id), metadata=ANN)
        await whole.waits_at(again.run.run_id, "ask", t.WAITING)
        await denied(answer(whole, again.run.run_id, ANN))


async def test_an_answer_holds_in_forks_with_the_same_parameters_only(tmp_path: Path) -> None:
    async with waiting(tmp_path, step("train"), approval(), step("build")) as (whole, run_id):
        await answer(whole, run_id, LEA)
        assert await whole.ended(run_id) == t.SUCCEEDED
        other = r.ForkRunRequest(run_id=run_id, params_json={"size": "2"}, reset=["build"])
        assert "other parameters would lead past the gate ask" in await denied(
            whole.runs.ForkRun(other, metadata=ANN)
        )
        same = r.ForkRunRequest(run_id=run_id, reset=["build"])
        forked = (await whole.runs.ForkRun(same, metadata=ANN)).run.run_id
        assert await whole.ended(forked) == t.SUCCEEDED
        anew = r.ForkRunRequest(run_id=run_id, params_json={"size": "2"}, reset=["ask"])
        forked = (await whole.runs.ForkRun(anew, metadata=ANN)).run.run_id
        await whole.waits_at(forked, "ask", t.WAITING)
        await whole.runs.ForkRun(other, metadata=LEA)


async def test_who_submitted_the_run_may_not_answer_where_the_gate_says_so(tmp_path: Path) -> None:
    own = approval(roles=[], not_submitter=True)
    async with waiting(tmp_path, step("train"), own, step("build")) as (whole, run_id):
        assert "somebody else than ann" in await denied(answer(whole, run_id, ANN))
        assert "somebody else than ann" in await denied(mark("build")(whole, run_id, ANN))
        await answer(whole, run_id, BO)
        assert await whole.ended(run_id) == t.SUCCEEDED
        # bo has answered it for ann, not for a run of bo's.
        fork = r.ForkRunRequest(run_id=run_id, reset=["build"])
        assert "a run of your own" in await denied(whole.runs.ForkRun(fork, metadata=BO))
        await whole.runs.ForkRun(fork, metadata=LEA)


async def test_a_signal_comes_from_who_has_one_of_its_gates_roles(tmp_path: Path) -> None:
    gate = d.Block(name="ask", gate=go("lead"))
    async with waiting(tmp_path, step("train"), gate) as (whole, run_id):
        signal = r.SignalRunRequest(run_id=run_id, name="go")
        text = await denied(whole.runs.SignalRun(signal, metadata=ANN))
        assert text == "signal 'go' needs one of the roles lead; you have guest"
        await denied(mark("ask", payload="1", by='"x"')(whole, run_id, ANN))
        await whole.runs.SignalRun(signal, metadata=LEA)
        assert await whole.ended(run_id) == t.SUCCEEDED


async def test_a_sub_workflow_is_not_marked_past_the_gates_of_its_runs(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with serving(world) as whole, playing(world):
        whole.register(approval(), name="child")
        call = d.Block(name="call", sub_workflow=d.SubWorkflow(workflow="child"))
        whole.register(call, step("after"))
        run_id = await whole.submit()
        await whole.waits_at(run_id, "call", t.RUNNING)
        await denied(cancel("call", skip=True)(whole, run_id, ANN))
        await denied(mark("after")(whole, run_id, ANN))
        await cancel("call", skip=True)(whole, run_id, LEA)
        assert await whole.ended(run_id) == t.SUCCEEDED


async def test_targets_lead_past_a_gate_only_who_may_answer_it(tmp_path: Path) -> None:
    async with waiting(tmp_path, step("train"), approval(), step("build")) as (whole, _):
        alone = r.SubmitRunRequest(workflow="w", targets=run_pb2.RunTargets(only=["build"]))
        told = await denied(whole.runs.SubmitRun(alone, metadata=ANN))
        assert told.startswith("a run of these targets leaves out the gate ask, which needs")
        run_id = (await whole.runs.SubmitRun(alone, metadata=LEA)).run.run_id
        assert await whole.ended(run_id) == t.SUCCEEDED
        fork = r.ForkRunRequest(run_id=run_id, reset=["build"], params_json={"size": "2"})
        await denied(whole.runs.ForkRun(fork, metadata=ANN))
        before = r.SubmitRunRequest(workflow="w", targets=run_pb2.RunTargets(until=["train"]))
        run_id = (await whole.runs.SubmitRun(before, metadata=ANN)).run.run_id
        assert await whole.ended(run_id) == t.SUCCEEDED


async def test_the_fields_of_an_answer_are_checked_and_become_outputs(tmp_path: Path) -> None:
    share = d.Parameter(name="share", type=d.VALUE_TYPE_FLOAT, constraint_cel="value <= 1.0")
    channel = d.Parameter(
        name="channel", type=d.VALUE_TYPE_STRING, default_json='"a"', choices_json=['"a"', '"b"']
    )
    gate = approval(fields=[share, channel])
    async with waiting(tmp_path, gate) as (whole, run_id):
        request = r.AnswerGateRequest(run_id=run_id, path="ask", approved=True)
        for values, field, told in (
            ({}, "values_json[share]", "field 'share' is missing"),
            ({"share": "2"}, "values_json[share]", "does not fulfil 'value <= 1.0'"),
            ({"share": "1", "channel": '"c"'}, "values_json[channel]", 'must be one of "a", "b"'),
            ({"share": "1", "chanel": '"a"'}, "values_json[chanel]", "did you mean channel?"),
        ):
            request.values_json.clear()
            request.values_json.update(values)
            with pytest.raises(aio.AioRpcError) as caught:
                await whole.runs.AnswerGate(request, metadata=LEA)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert told in (caught.value.details() or "")
            assert (
                field.encode()
                in dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
            )
        request.values_json.clear()
        request.values_json["share"] = "1"
        found = await whole.runs.GetRun(r.GetRunRequest(run_id=run_id), metadata=LEA)
        assert list(found.blocks[0].fields) == [share, channel]
        await whole.runs.AnswerGate(request, metadata=LEA)
        found = await whole.runs.GetRun(r.GetRunRequest(run_id=run_id), metadata=LEA)
        outputs = found.blocks[0].outputs_json
        assert (outputs["share"], outputs["channel"], outputs["by"]) == ("1.0", '"a"', '"lea"')
        assert not found.blocks[0].fields


async def test_the_payload_of_a_signal_with_fields_is_checked_and_completed(
    tmp_path: Path,
) -> None:
    rows = d.Parameter(name="rows", type=d.VALUE_TYPE_INT)
    note = d.Parameter(name="note", type=d.VALUE_TYPE_STRING, optional=True)
    gate = d.Gate(signal=d.SignalGate(name="go", fields=[rows, note]))
    async with waiting(tmp_path, d.Block(name="ask", gate=gate)) as (whole, run_id):
        for payload, told in (
            ("null", "field 'rows' is missing"),
            ("3", "is an object"),
            ('{"rows": "x"}', "field 'rows' must be an integer"),
        ):
            request = r.SignalRunRequest(run_id=run_id, name="go", payload_json=payload)
            with pytest.raises(aio.AioRpcError) as caught:
                await whole.runs.SignalRun(request, metadata=LEA)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert told in (caught.value.details() or "")
        request = r.SignalRunRequest(run_id=run_id, name="go", payload_json='{"rows": 3}')
        await whole.runs.SignalRun(request, metadata=LEA)
        found = await whole.runs.GetRun(r.GetRunRequest(run_id=run_id), metadata=LEA)
        assert found.blocks[0].outputs_json["payload"] == '{"note":null,"rows":3}'
