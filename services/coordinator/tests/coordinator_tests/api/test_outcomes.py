"""Commands answer when the run's owner has applied them, and tell what the engine said."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from kaon_coordinator.engine.state import transitions as t
from kaonapi.run.v1 import run_service_pb2 as r

from ..engine.build import step
from ..shell.player import playing
from .conftest import Api
from .test_whole import BAD, PRECONDITION, Whole, refused, whole

__all__ = ["whole"]

MARK = {"status": t.SUCCEEDED, "reason": "by hand"}


async def _ready(whole: Whole) -> str:
    """A run whose step `a` waits for a runner."""
    whole.register(step("a"), step("b"))
    run_id = await whole.submit()
    await whole.waits_at(run_id, "a", t.READY)
    return run_id


async def _failed(whole: Whole) -> str:
    """A run whose step `b` has failed."""
    whole.register(step("a"), step("b"))
    async with playing(whole.world, lambda it: BAD if it.key.path == "b" else {"out": 1}):
        run_id = await whole.submit()
        assert await whole.ended(run_id) == t.FAILED
    return run_id


async def test_what_the_engine_refuses_is_told_to_who_asked(whole: Whole) -> None:
    run_id = await _ready(whole)
    mark = r.MarkBlockRequest(run_id=run_id, path="a", **MARK)
    await refused(whole.runs.MarkBlock, mark, PRECONDITION, "the mark of a was refused: ")
    assert whole.status(run_id) == t.RUNNING


async def test_a_restart_is_refused_while_what_comes_after_it_is_active(whole: Whole) -> None:
    run_id = await _failed(whole)
    await whole.runs.RetryRun(r.RetryRunRequest(run_id=run_id))
    restart = r.RestartRunRequest(run_id=run_id, path="a")
    await refused(
        whole.runs.RestartRun,
        restart,
        PRECONDITION,
        "the restart of a was refused: b is READY: cancel it",
    )


async def test_a_refusal_among_many_events_is_found(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kaon_coordinator.api.outcomes._PAGE", 1)
    run_id = await _failed(whole)
    mark = r.MarkBlockRequest(run_id=run_id, path="b", **MARK)
    for _ in range(3):
        await refused(whole.runs.MarkBlock, mark, PRECONDITION, "the mark of b was refused")


async def test_a_command_answers_with_the_run_as_it_is_after_it(whole: Whole) -> None:
    run_id = await _ready(whole)
    runs = whole.runs

    async def after(call: Any, request: Message) -> int:
        run = (await call(request)).run
        assert run.commands_waiting == 0
        return int(run.status)

    assert await after(runs.PauseRun, r.PauseRunRequest(run_id=run_id)) == t.PAUSED
    assert await after(runs.ResumeRun, r.ResumeRunRequest(run_id=run_id)) == t.RUNNING
    at = r.SetBreakpointRequest(run_id=run_id, step="b")
    assert list((await runs.SetBreakpoint(at)).run.breakpoints) == ["b"]
    passed = r.PassBreakpointRequest(run_id=run_id, step="b")
    assert list((await runs.PassBreakpoint(passed)).run.breakpoints) == []
    prioritized = await runs.SetRunPriority(r.SetRunPriorityRequest(run_id=run_id, priority=7))
    assert prioritized.run.priority == 7
    assert await after(runs.CancelRun, r.CancelRunRequest(run_id=run_id)) == t.CANCELLED
    assert await after(runs.RetryRun, r.RetryRunRequest(run_id=run_id)) == t.RUNNING


async def test_what_opens_an_ended_run_answers_that_it_runs(whole: Whole) -> None:
    run_id = await _failed(whole)
    assert (await whole.runs.RetryRun(r.RetryRunRequest(run_id=run_id))).run.status == t.RUNNING
    assert (await whole.runs.CancelRun(r.CancelRunRequest(run_id=run_id))).run.status == t.CANCELLED
    restart = r.RestartRunRequest(run_id=run_id, path="a")
    assert (await whole.runs.RestartRun(restart)).run.status == t.RUNNING


async def test_a_command_that_no_owner_applies_is_kept_and_said_to_wait(api: Api) -> None:
    await api.register()
    run = await api.submit()
    answer = await api.runs.PauseRun(r.PauseRunRequest(run_id=run.run_id))
    # Its start waits, too.
    assert (answer.run.status, answer.run.commands_waiting) == (t.PENDING, 2)
    shown = await api.runs.GetRun(r.GetRunRequest(run_id=run.run_id))
    assert shown.run.commands_waiting == 2
