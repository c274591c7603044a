"""Breakpoints: a step waits before it starts, its inputs bound, until somebody lets it go on."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kaon_coordinator.engine.actions import EndChain, ReleasePermits, RequestStep, TakePermits
from kaon_coordinator.engine.commands.breakpoints import MOST
from kaon_coordinator.engine.commands.fork import fork_state
from kaon_coordinator.engine.messages import (
    Cancel,
    Mark,
    PassBreakpoint,
    Pause,
    PermitsGranted,
    Restart,
    Resume,
    SetBreakpoint,
    Start,
    Started,
    Succeeded,
)
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import StepState
from kaon_coordinator.engine.steps.succession import chain_after
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, fan, for_each, literal, output, step, workflow
from .driver import Driver

BY = {"reason": "because", "requester": "me"}


def works(step: StepState) -> Mapping[str, object]:
    return {"out": step.path}


def of(*blocks: d.Block) -> Driver:
    return Driver(workflow(chain(*blocks)), works)


def broken(*blocks: d.Block, at: str) -> Driver:
    """A run that has come as far as it can."""
    driver = of(*blocks)
    driver.tell(SetBreakpoint(step=at, **BY))
    driver.run()
    return driver


def held(driver: Driver) -> list[str]:
    return [step.path for step in driver.state.steps.values() if step.held]


def go_on(driver: Driver, step: str) -> None:
    driver.tell(PassBreakpoint(step=step, **BY))
    driver.drain()


def refusals(driver: Driver) -> list[str]:
    return [e.command_refused.problem for e in driver.history if e.HasField("command_refused")]


def test_a_step_waits_with_its_inputs_and_goes_on_when_somebody_says_so() -> None:
    driver = broken(step("a"), step("b", x=output("a")), step("c"), at="b")
    waiting = driver.state.steps["b"]
    assert (waiting.status, waiting.held, waiting.inputs) == (t.PENDING, True, {"x": '"a"'})
    assert driver.state.status == t.RUNNING
    driver.check_replay()
    driver.take_over()
    assert held(driver) == ["b"]
    driver.tell(Pause(**BY))
    driver.tell(Resume(**BY))
    assert held(driver) == ["b"]
    go_on(driver, "b")
    assert driver.state.status == t.SUCCEEDED
    assert driver.state.breakpoints == set()
    driver.check_replay()
    kinds = [e.WhichOneof("event") for e in driver.history]
    assert [kinds.count(f"breakpoint_{what}") for what in ("set", "reached", "passed")] == [1] * 3


CELLS = for_each("each", literal([1, 2, 3]), fan(step("s")))


def test_a_name_stands_for_all_cells_and_one_of_them_may_go_on_alone() -> None:
    driver = broken(CELLS, at="s")
    assert held(driver) == ["each[1]/s", "each[2]/s", "each[3]/s"]
    go_on(driver, "each[2]/s")
    assert held(driver) == ["each[1]/s", "each[3]/s"]
    assert driver.state.breakpoints == {"s"}
    go_on(driver, "s")
    assert driver.state.status == t.SUCCEEDED


def test_one_cell_may_wait_alone() -> None:
    driver = broken(CELLS, at="each[2]/s")
    assert held(driver) == ["each[2]/s"]
    assert driver.state.steps["each[1]/s"].status == t.SUCCEEDED
    go_on(driver, "each[2]/s")
    assert driver.state.status == t.SUCCEEDED


def test_a_breakpoint_that_is_removed_in_time_stops_nothing() -> None:
    driver = of(step("a"), step("b"))
    driver.tell(SetBreakpoint(step="b", **BY))
    driver.tell(PassBreakpoint(step="b", **BY))
    assert driver.run().status == t.SUCCEEDED


def test_a_step_that_runs_again_stops_again_at_the_breakpoint_of_its_name() -> None:
    driver = broken(CELLS, at="s")
    go_on(driver, "each[2]/s")
    driver.tell(Restart(path="each[2]/s", **BY))
    driver.drain()
    assert "each[2]/s" in held(driver)


@pytest.mark.parametrize(
    ("at", "problem"),
    [
        ("a", "it has started: it is SUCCEEDED"),
        ("b", "it has started: it is READY"),
        ("none", "the workflow has no such step"),
        ("each", "the workflow has no such step"),
        ("other[1]/s", "the workflow has no such step"),
    ],
)
def test_what_has_started_or_is_no_step_has_no_breakpoint(at: str, problem: str) -> None:
    driver = of(step("a"), step("b"), CELLS)
    driver.tell(Start())
    driver.execute(driver.take())
    driver.tell(SetBreakpoint(step=at, **BY))
    assert refusals(driver) == [problem]
    assert driver.state.breakpoints == set()


def test_the_number_of_breakpoints_is_bounded_and_setting_one_twice_is_once() -> None:
    driver = of(CELLS, step("after"))
    for index in range(MOST):
        driver.tell(SetBreakpoint(step=f"each[{index}]/s", **BY))
        driver.tell(SetBreakpoint(step=f"each[{index}]/s", **BY))
    assert refusals(driver) == []
    driver.tell(SetBreakpoint(step="after", **BY))
    assert refusals(driver) == [
        f"the run has {MOST} breakpoints, which is the most that it may have"
    ]
    driver.tell(PassBreakpoint(step="after", **BY))
    assert refusals(driver)[1:] == ["there is no breakpoint, and it does not wait at one"]


def test_a_step_at_a_breakpoint_can_be_marked_and_is_skipped_with_a_cancelled_run() -> None:
    driver = broken(step("a"), step("b"), at="a")
    driver.tell(Mark(path="a", status=t.SUCCEEDED, outputs={"out": "1"}, **BY))
    driver.drain()
    assert (driver.state.status, held(driver)) == (t.SUCCEEDED, [])
    driver = broken(step("a"), step("b"), at="a")
    driver.tell(Cancel(**BY))
    assert driver.state.status == t.CANCELLED
    assert (driver.state.steps["a"].status, held(driver)) == (t.SKIPPED, [])
    driver.check_replay()


def test_a_fork_has_no_breakpoints() -> None:
    driver = broken(step("a"), at="a")
    forked = fork_state(driver.replayed(), "r2")
    assert (forked.breakpoints, forked.steps["a"].held) == (set(), False)


def test_no_permit_is_held_at_a_breakpoint_even_one_that_comes_late() -> None:
    tagged = step("s")
    tagged.step.tags.append("db")
    driver = broken(tagged, at="s")
    assert driver.asked(TakePermits) == []
    driver = of(tagged)
    driver.tell(Start())
    asked = driver.asked(TakePermits)[-1].asked
    driver.tell(SetBreakpoint(step="s", **BY))
    driver.tell(PermitsGranted(path="s", asked=asked))
    assert (held(driver), driver.asked(RequestStep)) == (["s"], [])
    assert driver.asked(ReleasePermits) == [ReleasePermits(path="s")]
    driver.tell(PassBreakpoint(step="s", **BY))
    driver.tell(PermitsGranted(path="s", asked=driver.question("s")))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


# --- succession -----------------------------------------------------------------------------------------------------


def test_no_runner_is_offered_a_step_with_a_breakpoint() -> None:
    driver = of(step("a"), step("b"), step("c"))
    driver.tell(SetBreakpoint(step="c", **BY))
    driver.tell(Start())
    assert [each.step.path for each in chain_after(driver.state, driver.state.steps["a"])] == ["b"]


def test_what_a_runner_was_offered_is_taken_back() -> None:
    driver = of(step("a"), step("b"), step("c"))
    driver.tell(Start())
    first = driver.state.steps["a"].generation
    driver.tell(SetBreakpoint(step="c", **BY))
    # It waits for a runner with its chain: it is requested anew.
    assert driver.state.steps["a"].generation > first
    assert driver.history[-2].step_lease_lost.reason == "breakpoint"
    lease = driver.lease("a")
    driver.tell(Started(lease=lease))
    driver.tell(SetBreakpoint(step="b", **BY))
    assert driver.asked(EndChain) == [EndChain(issue=lease.issue, incarnation="a")]
    driver.tell(Succeeded(lease=lease, outputs={"out": "1"}))
    assert held(driver) == ["b"]
    # A runner that had not heard of it and began the step is told to stop.
    driver.tell(Started(lease=driver.lease("b")))
    assert held(driver) == ["b"]
    assert len(driver.revoked) == 1
    driver.revoked.clear()
    go_on(driver, "b")
    go_on(driver, "c")
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()
