"""Submit strategies and locks, seen by the API over several partitions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kaon_coordinator.engine.state import transitions as t
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.runner.v1 import runner_pb2, runner_pb2_grpc
from kaonapi.workflow.v1 import definition_pb2 as d

from ..engine.build import chain, literal, step
from ..shell.player import playing
from ..shell.world import World
from .whole import Whole, serving


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[Whole]:
    async with serving(World(tmp_path, run_partitions=3)) as whole:
        yield whole


def _register(whole: Whole, strategy: d.SubmitStrategy.ValueType, **fields: object) -> None:
    whole.register(_gate(), step("s"), strategy=strategy, **fields)


def _gate() -> d.Block:
    return d.Block(name="go", gate=d.Gate(signal=d.SignalGate(name="go")))


async def _submit(whole: Whole, workflow: str = "w") -> str:
    """A run that is submitted after those before."""
    whole.world.clock.now += 0.1
    return await whole.submit(workflow=workflow)


async def _signal(whole: Whole, run_id: str) -> None:
    await whole.runs.SignalRun(r.SignalRunRequest(run_id=run_id, name="go", payload_json="1"))


async def _error(whole: Whole, run_id: str) -> str:
    error = (await whole.runs.GetRun(r.GetRunRequest(run_id=run_id))).run.error
    return f"{error.type}: {error.message}"


async def _why(whole: Whole, run_id: str) -> str:
    stub = runner_pb2_grpc.RunnerServiceStub(whole.channel)
    found = await stub.ExplainStep(runner_pb2.ExplainStepRequest(run_id=run_id))
    assert (found.path, found.status) == ("", t.PENDING)
    return str(found.text)


async def test_sequential_runs_follow_one_another_and_say_for_which_they_wait(whole: Whole) -> None:
    _register(whole, d.SUBMIT_STRATEGY_SEQUENTIAL)
    runs = [await _submit(whole) for _ in range(3)]
    async with playing(whole.world):
        for place, run_id in enumerate(runs):
            await whole.waits_at(run_id, "go", t.WAITING)
            for later in runs[place + 1 :]:
                assert whole.status(later) == t.PENDING
                assert await _why(whole, later) == (
                    f"The run {later} has not begun: it waits for run {run_id} to end "
                    "(the strategy of workflow w is sequential)."
                )
            await _signal(whole, run_id)
            assert await whole.ended(run_id) == t.SUCCEEDED


async def test_the_first_one_goes_on_and_the_others_are_cancelled(whole: Whole) -> None:
    _register(whole, d.SUBMIT_STRATEGY_FIRST_ONLY)
    first = await _submit(whole)
    await whole.waits_at(first, "go", t.WAITING)
    second = await _submit(whole)
    assert await whole.ended(second) == t.CANCELLED
    told = f"AlreadyActive: run {first} is active: the strategy of workflow w is first-only"
    assert await _error(whole, second) == told
    assert whole.status(first) == t.RUNNING


async def test_the_last_one_begins_when_the_earlier_ones_have_been_cancelled(whole: Whole) -> None:
    _register(whole, d.SUBMIT_STRATEGY_LAST_ONLY)
    first = await _submit(whole)
    await whole.waits_at(first, "go", t.WAITING)
    last = await _submit(whole)
    async with playing(whole.world):
        assert await whole.ended(first) == t.CANCELLED
        await whole.waits_at(last, "go", t.WAITING)


async def test_the_active_one_goes_on_and_then_the_newest_of_those_that_waited(
    whole: Whole,
) -> None:
    _register(whole, d.SUBMIT_STRATEGY_SEQUENTIAL_LATEST)
    first = await _submit(whole)
    await whole.waits_at(first, "go", t.WAITING)
    second, third = await _submit(whole), await _submit(whole)
    async with playing(whole.world):
        assert await whole.ended(second) == t.CANCELLED
        assert f"Superseded: the later run {third} has taken" in await _error(whole, second)
        assert whole.status(first) == t.RUNNING
        await _signal(whole, first)
        assert await whole.ended(first) == t.SUCCEEDED
        await whole.waits_at(third, "go", t.WAITING)


async def test_a_strategy_holds_for_the_runs_of_sub_workflow_blocks(whole: Whole) -> None:
    _register(whole, d.SUBMIT_STRATEGY_FIRST_ONLY)
    block = d.Block(name="sub", sub_workflow=d.SubWorkflow(workflow="w"))
    whole.register(block, name="parent")
    first = await _submit(whole)
    await whole.waits_at(first, "go", t.WAITING)
    parent = await _submit(whole, "parent")
    assert await whole.ended(parent) == t.FAILED
    assert f"run {first} is active" in await _error(whole, parent)


@pytest.mark.parametrize(
    "fields",
    [{"strategy": d.SUBMIT_STRATEGY_SEQUENTIAL}, {"max_active_runs": 2}],
    ids=["sequential", "two active runs"],
)
async def test_a_workflow_that_runs_itself_fails_in_place_of_waiting_for_itself(
    whole: Whole, fields: dict[str, Any]
) -> None:
    again = d.Block(name="again", sub_workflow=d.SubWorkflow(workflow="w"))
    whole.register(again, **fields)
    run_id = await _submit(whole)
    assert await whole.ended(run_id) == t.FAILED
    assert "they would wait for each other" in await _error(whole, run_id)


async def test_workflows_that_run_each_other_fail_in_place_of_waiting_for_each_other(
    whole: Whole,
) -> None:
    for name, other in (("one", "two"), ("two", "one")):
        sub = d.Block(name="sub", sub_workflow=d.SubWorkflow(workflow=other))
        whole.register(sub, name=name, strategy=d.SUBMIT_STRATEGY_SEQUENTIAL)
    run_id = await _submit(whole, "one")
    assert await whole.ended(run_id) == t.FAILED
    assert "they would wait for each other" in await _error(whole, run_id)


async def test_of_two_runs_whose_children_wait_for_the_other_one_the_last_child_fails(
    whole: Whole,
) -> None:
    """The other one goes on when its place is free."""
    for name, other in (("one", "two"), ("two", "one")):
        sub = d.Block(name="sub", sub_workflow=d.SubWorkflow(workflow=other))
        whole.register(_gate(), sub, name=name, strategy=d.SUBMIT_STRATEGY_SEQUENTIAL)
    first, second = [await _submit(whole, name) for name in ("one", "two")]
    for run_id in (first, second):
        await whole.waits_at(run_id, "go", t.WAITING)
    await _signal(whole, first)
    await whole.waits_at(first, "sub", t.RUNNING)
    whole.world.clock.now += 0.1
    await _signal(whole, second)
    assert await whole.ended(second) == t.FAILED
    told = await _error(whole, second)
    assert f"it waits for run {first} of workflow one, whose strategy is sequential" in told
    assert f"waits for {second}, which is around this one" in told
    assert "Deadlock" not in await _explained(whole, first, "sub")
    stub = runner_pb2_grpc.RunnerServiceStub(whole.channel)
    why = await stub.ExplainStep(runner_pb2.ExplainStepRequest(run_id=second))
    assert "they would wait for each other" in str(why)


async def test_a_mutex_lets_one_group_in_at_a_time_whichever_workflow_it_is_of(
    whole: Whole,
) -> None:
    for name, limit in (("one", 1), ("two", 3)):
        held = d.Block(name="g", group=d.Group(body=chain(_gate(), step("s"))))
        held.locks.add(name="hall", limit=limit).key.CopyFrom(literal("EU"))
        whole.register(held, name=name)
    first = await _submit(whole, "one")
    await whole.waits_at(first, "g/go", t.WAITING)
    second = await _submit(whole, "two")
    async with playing(whole.world):
        await whole.world.until(lambda: whole.status(second) == t.RUNNING)
        told = f"g waits for lock hall/EU: held by g of run {first}."
        assert (await _explained(whole, second, "g")) == told
        await _signal(whole, first)
        assert await whole.ended(first) == t.SUCCEEDED
        await whole.waits_at(second, "g/go", t.WAITING)


async def _explained(whole: Whole, run_id: str, path: str) -> str:
    stub = runner_pb2_grpc.RunnerServiceStub(whole.channel)
    request = runner_pb2.ExplainStepRequest(run_id=run_id, path=path)
    return str((await stub.ExplainStep(request)).text)
