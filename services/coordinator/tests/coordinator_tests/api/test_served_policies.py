"""Policies that are values of the run, seen by the API: what a step waits for, and the workflow that a block calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaon_coordinator.engine.state import transitions as t
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.runner.v1 import runner_pb2, runner_pb2_grpc
from kaonapi.workflow.v1 import definition_pb2 as d

from ..engine.build import literal, step
from ..shell.player import playing
from ..shell.world import World
from .whole import Whole, serving


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[Whole]:
    async with serving(World(tmp_path)) as whole:
        yield whole


def called(name: d.Binding) -> d.Block:
    block = d.Block(name="child", sub_workflow=d.SubWorkflow())
    block.bound["sub_workflow.workflow"].CopyFrom(name)
    return block


async def test_a_step_waits_for_a_runner_with_the_labels_that_its_run_says(whole: Whole) -> None:
    lone = step("a")
    lone.bound["step.labels"].CopyFrom(literal(["zone=moon"]))
    lone.bound["step.priority"].CopyFrom(literal(7))
    whole.register(lone)
    run_id = await whole.submit()
    async with playing(whole.world):
        await whole.waits_at(run_id, "a", t.READY)
        stub = runner_pb2_grpc.RunnerServiceStub(whole.channel)
        request = runner_pb2.ExplainStepRequest(run_id=run_id, path="a")
        told = ""
        while "zone=moon" not in told:
            # The matcher may not have its request yet.
            told = str(await stub.ExplainStep(request))
    found = await whole.runs.GetRun(r.GetRunRequest(run_id=run_id))
    assert dict(found.steps[0].bound_json) == {
        "step.labels": '["zone=moon"]',
        "step.priority": "7",
    }


async def test_a_block_calls_the_workflow_that_its_run_names(whole: Whole) -> None:
    whole.register(step("s"), name="train-eu")
    whole.register(called(literal("train-eu")), name="parent")
    whole.register(called(literal("train-mars")), name="lost")
    parent, lost = await whole.submit(workflow="parent"), await whole.submit(workflow="lost")
    async with playing(whole.world):
        assert await whole.ended(parent) == t.SUCCEEDED
        assert await whole.ended(lost) == t.FAILED
    (block,) = (await whole.runs.GetRun(r.GetRunRequest(run_id=parent))).blocks
    assert block.child_run_id
    error = (await whole.runs.GetRun(r.GetRunRequest(run_id=lost))).run.error
    assert "train-mars" in error.message
