"""Hooks beside a block: they start while it goes on, when it runs, is retried or is late."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kaon_coordinator.engine.actions import Timer
from kaon_coordinator.engine.decide import renew
from kaon_coordinator.engine.messages import (
    Cancel,
    LeaseExpired,
    Pause,
    Restart,
    Resume,
    Retry,
    RetryDue,
    Start,
    Started,
    Succeeded,
)
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import StepState
from kaon_wire.definitions.validate import validate
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, fan, for_each, literal, step, workflow
from .driver import Driver, failure

RUNNING, RETRIED, LATE = (
    d.TRIGGER_RULE_ANY_RUNNING,
    d.TRIGGER_RULE_ANY_RETRIED,
    d.TRIGGER_RULE_ANY_LATE,
)
BY = {"reason": "because", "requester": "me"}


def beside(rule: d.TriggerRule.ValueType, *, optional: bool = False, hook: str = "hook") -> d.Graph:
    """A step "a" with a deadline and two attempts, a hook beside it, and "after", which does not wait for the hook."""
    watched, tells = step("a", attempts=2), step(hook)
    watched.deadline_ms = 1_000
    tells.trigger, tells.optional = rule, optional
    return d.Graph(
        blocks=[watched, tells, step("after")],
        edges=[d.Edge(source="a", target="after"), d.Edge(source="a", target=hook)],
    )


class Broken:
    """Steps fail as often as is said, by name."""

    def __init__(self, **times: int) -> None:
        self.times = times

    def __call__(self, state: StepState) -> Mapping[str, object] | step_pb2.StepError:
        left = self.times.get(state.block.name, 0)
        self.times[state.block.name] = left - 1
        return failure() if left > 0 else {"out": 1}


def begun(body: d.Graph, **times: int) -> Driver:
    driver = Driver(workflow(body), Broken(**times))
    driver.tell(Start())
    return driver


def status(driver: Driver, path: str) -> str:
    return t.short(driver.state.steps[path].status)


def test_a_hook_starts_when_the_step_runs_and_what_comes_after_does_not_wait_for_it() -> None:
    driver = begun(beside(RUNNING))
    assert (status(driver, "hook"), driver.requested) == ("PENDING", ["a"])
    lease = driver.lease("a")
    driver.tell(Started(lease=lease))
    assert status(driver, "hook") == "READY"
    driver.tell(Succeeded(lease=lease, outputs={"out": "1"}))
    assert status(driver, "after") == "READY"
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


def test_a_renewal_that_stands_for_a_lost_start_starts_the_hook_too() -> None:
    driver = begun(beside(RUNNING))
    current, decision = renew(driver.state, driver.lease("a"), driver.context(), queued=False)
    driver.absorb(decision)
    assert (current, status(driver, "hook")) == (True, "READY")


def test_a_hook_starts_once_when_a_step_is_retried() -> None:
    driver = begun(beside(RETRIED), a=1)
    driver.execute(driver.take())
    assert (status(driver, "a"), status(driver, "hook")) == ("PENDING", "READY")
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert driver.state.steps["hook"].attempt == 1
    driver.check_replay()


def test_a_hook_starts_when_a_step_is_late() -> None:
    driver = begun(beside(LATE))
    driver.tell(Started(lease=driver.lease("a")))
    driver.let_time_pass(Timer.DEADLINE, "a")
    assert (status(driver, "a"), status(driver, "hook")) == ("RUNNING", "READY")
    driver.take_over()
    driver.tell(Succeeded(lease=driver.lease("a"), outputs={"out": "1"}))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


@pytest.mark.parametrize("rule", [RETRIED, LATE])
def test_a_hook_whose_occasion_never_came_is_skipped_and_keeps_nothing_from_going_on(
    rule: d.TriggerRule.ValueType,
) -> None:
    driver = begun(beside(rule))
    driver.drain()
    assert (driver.state.status, status(driver, "hook")) == (t.SUCCEEDED, "SKIPPED")
    hook = driver.state.steps["hook"]
    assert hook.error is not None
    assert hook.error.type == "Skipped"


def test_a_hook_handles_no_failure_and_is_stopped_with_its_scope() -> None:
    driver = begun(beside(RETRIED), a=2)
    while driver.state.steps["a"].status not in t.TERMINAL:
        driver.requested = [path for path in driver.requested if path == "a"]
        if driver.requested:
            driver.execute(driver.take())
        elif driver.retries:
            driver.requested.clear()
            retry = driver.retries.pop()
            driver.now_us = max(driver.now_us, retry.due_us)
            driver.tell(RetryDue(issue=retry.issue))
    assert driver.state.status == t.FAILED
    assert status(driver, "hook") == "CANCELLED"


def test_a_hook_that_fails_fails_the_run_unless_it_is_optional() -> None:
    for optional in (False, True):
        driver = begun(beside(RUNNING, optional=optional), hook=9)
        driver.drain()
        assert driver.state.status == (t.SUCCEEDED if optional else t.FAILED)


def test_a_hook_of_a_paused_run_starts_when_it_goes_on() -> None:
    driver = begun(beside(RUNNING))
    lease = driver.lease("a")
    driver.tell(Pause(**BY))
    driver.tell(Started(lease=lease))
    assert status(driver, "hook") == "PENDING"
    driver.tell(Resume(**BY))
    assert status(driver, "hook") == "READY"


def test_a_lost_runner_is_no_retry() -> None:
    driver = begun(beside(RETRIED))
    driver.tell(Started(lease=driver.lease("a")))
    driver.tell(LeaseExpired(issue=driver.state.steps["a"].issue))
    assert status(driver, "hook") == "PENDING"


def test_a_restart_runs_the_hook_again() -> None:
    driver = begun(beside(RUNNING))
    driver.drain()
    driver.tell(Restart(path="a", **BY))
    driver.drain()
    kinds = [e.step_became_ready.path for e in driver.history if e.HasField("step_became_ready")]
    assert kinds.count("hook") == 2
    driver.check_replay()


def test_cancel_and_retry_of_a_run_with_hooks() -> None:
    driver = begun(beside(RETRIED), a=1)
    driver.execute(driver.take())
    driver.tell(Cancel(**BY))
    driver.drain()
    assert driver.state.status == t.CANCELLED
    driver.tell(Retry(path="", **BY))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


def test_every_cell_has_its_hook() -> None:
    body = fan(for_each("each", literal([1, 2]), beside(RUNNING)))
    driver = begun(body)
    driver.drain()
    hooks = [path for path in driver.state.steps if path.endswith("/hook")]
    assert [status(driver, path) for path in hooks] == ["SUCCEEDED", "SUCCEEDED"]
    assert driver.state.status == t.SUCCEEDED


def test_hooks_that_never_could_start_are_refused() -> None:
    alone = chain(step("a"))
    alone.blocks[0].trigger = LATE
    assert "there is none" in validate(workflow(alone))[0]
    late = beside(LATE)
    late.blocks[0].deadline_ms = 0
    assert validate(workflow(late)) == ["hook: it starts when a is late, and a has no deadline"]
    block = for_each("each", literal([1]), fan(step("s")))
    hook = step("hook")
    hook.trigger = RETRIED
    body = d.Graph(blocks=[block, hook], edges=[d.Edge(source="each", target="hook")])
    assert validate(workflow(body)) == ["hook: it starts when each is retried, and that is no step"]
