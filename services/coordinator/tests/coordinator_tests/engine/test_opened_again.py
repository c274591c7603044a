"""A run that is opened again is active again: it takes its permits anew, and waits for them like a new run."""

from __future__ import annotations

import pytest

from kaon_coordinator.engine.actions import (
    ReleasePermits,
    RequestStep,
    TakePermits,
    Timer,
    WatchTime,
    WriteManifests,
)
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.messages import (
    Cancel,
    Due,
    ManifestsWritten,
    Mark,
    Message,
    Pause,
    PermitsGranted,
    PermitsRefused,
    Restart,
    Resume,
    Retry,
    Start,
)
from kaon_coordinator.engine.rows.resume import derive
from kaon_coordinator.engine.state import transitions as t
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import branch, chain, fan, for_each, literal, output, repeat, step, workflow
from .driver import Driver, failure

BY = {"reason": "because", "requester": "me"}
KEYS = ("workflow:test",)


def failed_once(*blocks: d.Block, timeout_ms: int = 0) -> Driver:
    """A run of a workflow of which one may be active, ended because step "a" failed; from now on "a" succeeds."""
    body = fan if any(block.phase for block in blocks) else chain
    definition = workflow(body(*(blocks or (step("a"), step("b")))))
    definition.max_active_runs, definition.timeout_ms = 1, timeout_ms
    fails = [True]
    driver = Driver(
        definition, lambda each: failure() if each.block.name == "a" and fails[0] else {"out": True}
    )
    driver.tell(Start())
    grant(driver)
    driver.drain()
    assert driver.state.ended
    fails[0] = False
    driver.asked(TakePermits)
    driver.asked(ReleasePermits)
    driver.asked(RequestStep)
    return driver


def grant(driver: Driver) -> None:
    driver.tell(PermitsGranted(path="", asked=driver.state.seq))


@pytest.mark.parametrize(
    "again",
    [
        Retry(path="", **BY),
        Restart(path="a", **BY),
        Mark(path="a", status=t.SKIPPED, outputs={}, **BY),
    ],
)
def test_a_run_that_is_opened_again_waits_for_its_permits(again: Message) -> None:
    driver = failed_once()
    driver.tell(again)
    assert driver.state.status == t.PENDING
    assert driver.asked(TakePermits) == [
        TakePermits(path="", asked=driver.state.waits_since, keys=KEYS)
    ]
    assert driver.asked(RequestStep) == []
    driver.take_over()
    grant(driver)
    assert driver.state.status == t.RUNNING
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert driver.asked(ReleasePermits) == [ReleasePermits(path="")]
    driver.check_replay()


def test_a_run_without_a_bound_goes_on_at_once() -> None:
    driver = Driver(workflow(chain(step("a"))), lambda each: failure())
    driver.run()
    driver.tell(Retry(path="", **BY))
    assert driver.state.status == t.RUNNING
    assert driver.asked(TakePermits) == []


def test_the_next_owner_of_a_run_that_waits_again_asks_for_its_permits_and_nothing_else() -> None:
    driver = failed_once(timeout_ms=60_000)
    driver.tell(Retry(path="", **BY))
    driver.take_over()
    assert derive(driver.state) == [TakePermits(path="", asked=driver.state.seq, keys=KEYS)]


def test_the_time_of_a_run_that_is_opened_again_counts_from_when_it_has_its_permits() -> None:
    driver = failed_once(repeat("r", chain(step("a")), output("a")), timeout_ms=60_000)
    driver.tell(Retry(path="", **BY))
    driver.watched.clear()
    waited_us = driver.now_us = driver.now_us + 50_000_000
    grant(driver)
    assert [each for each in driver.watched if not each.path] == [
        WatchTime(timer=Timer.TIMEOUT, path="", due_us=driver.state.since_us + 60_000_000)
    ]
    assert driver.state.since_us > waited_us
    assert driver.state.blocks["r"].since_us == driver.state.since_us
    driver.check_replay()


def test_a_run_that_waits_again_does_not_time_out() -> None:
    driver = failed_once(timeout_ms=60_000)
    driver.tell(Retry(path="", **BY))
    due_us = driver.state.since_us + 60_000_000
    driver.now_us = due_us + 1
    assert driver.tell(Due(timer=Timer.TIMEOUT, path="", due_us=due_us)).events == []


def test_a_mark_that_ends_the_run_at_once_needs_no_permit() -> None:
    driver = failed_once(step("a"))
    driver.tell(Mark(path="a", status=t.SUCCEEDED, outputs={"out": "1"}, **BY))
    assert driver.state.status == t.SUCCEEDED
    assert driver.state.waits_since == 0
    driver.take_over()
    driver.check_replay()


def test_a_run_that_waits_again_can_be_cancelled_and_its_hooks_do_not_run_without_a_permit() -> (
    None
):
    hook = step("hook")
    hook.phase = d.PHASE_FINALLY
    driver = failed_once(step("a"), hook)
    driver.tell(Retry(path="", **BY))
    driver.requested.clear()
    driver.tell(Cancel(**BY))
    assert driver.state.status == t.CANCELLED
    assert driver.requested == []
    driver.check_replay()


def some_of_three(name: str, *blocks: d.Block) -> d.Block:
    """A foreach of which the last two cells have not begun when the first one fails."""
    return for_each(name, literal([1, 2, 3]), chain(*blocks), at_once=1)


def within(name: str, *blocks: d.Block) -> d.Block:
    return d.Block(name=name, group=d.Group(body=chain(*blocks)))


AROUND = {
    "foreach": some_of_three("f", step("a")),
    "foreach in a foreach": some_of_three("f", some_of_three("g", step("a"))),
    "foreach in a repeat": repeat("r", chain(some_of_three("f", step("a"))), literal(True)),
    "foreach in a group": within("g", some_of_three("f", step("a"))),
    "foreach in a branch": branch("b", literal(True), chain(some_of_three("f", step("a")))),
    "group in a foreach": some_of_three("f", within("g", step("a"))),
    "repeat in a foreach": some_of_three("f", repeat("r", chain(step("a")), output("a"))),
    "branch in a foreach": some_of_three("f", branch("b", literal(True), chain(step("a")))),
}


@pytest.mark.parametrize("taken_over", [False, True])
@pytest.mark.parametrize("block", AROUND.values(), ids=AROUND)
def test_a_run_that_waits_again_ends_when_it_is_cancelled_before_all_cells_have_begun(
    block: d.Block, taken_over: bool
) -> None:
    driver = failed_once(block, step("z"))
    driver.tell(Retry(path="", **BY))
    assert driver.state.waits_since
    if taken_over:
        driver.take_over()
    driver.tell(Cancel(**BY, force=True))
    assert driver.state.status == t.CANCELLED
    assert driver.requested == []
    driver.check_replay()


@pytest.mark.parametrize("halted", ["paused", "waits for its permits"])
@pytest.mark.parametrize("block", AROUND.values(), ids=AROUND)
def test_what_is_cancelled_in_a_halted_run_ends_at_once(block: d.Block, halted: str) -> None:
    driver = failed_once(block, step("z"))
    driver.tell(Retry(path="", **BY))
    if halted == "paused":
        grant(driver)
        driver.tell(Pause(**BY))
    driver.tell(Cancel(path=block.name, **BY))
    driver.drain()
    assert driver.state.blocks[block.name].status == t.CANCELLED
    driver.check_replay()


def test_a_run_that_waits_again_can_be_paused_and_asks_once_more_when_it_is_resumed() -> None:
    driver = failed_once()
    driver.tell(Retry(path="", **BY))
    driver.tell(Pause(**BY))
    driver.take_over()
    driver.asked(TakePermits)
    driver.tell(Resume(**BY))
    assert driver.state.status == t.PENDING
    assert len(driver.asked(TakePermits)) == 1
    grant(driver)
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


def test_a_run_that_waits_again_and_never_gets_its_permits_ends_with_the_reason() -> None:
    driver = failed_once()
    driver.tell(Retry(path="", **BY))
    refused = PermitsRefused(status=t.FAILED, kind="Deadlock", problem="they wait for each other")
    driver.tell(refused)
    assert driver.state.status == t.CANCELLED
    reasons = [event.run_cancel_requested.reason for event in driver.history]
    assert "they wait for each other" in reasons
    assert driver.tell(refused).events == []
    driver.check_replay()


def test_what_was_granted_before_a_run_ended_does_not_let_it_go_on_when_it_is_opened_again() -> (
    None
):
    driver = failed_once()
    driver.tell(Retry(path="", **BY))
    asked = driver.state.waits_since
    driver.tell(Cancel(**BY))
    driver.tell(Retry(path="", **BY))
    assert driver.tell(PermitsGranted(path="", asked=asked)).events == []
    assert driver.state.status == t.PENDING
    grant(driver)
    assert driver.state.status == t.RUNNING


# --- answers to questions of before ---------------------------------------------------------------------------------


def begun(block: d.Block, limits: Limits) -> Driver:
    driver = Driver(workflow(chain(block)), lambda each: {"out": 1})
    driver.limits = limits
    driver.tell(Start())
    return driver


def test_manifests_that_were_written_for_an_earlier_generation_are_not_taken_for_those_of_the_current_one() -> (
    None
):
    driver = begun(step("s", big=literal("x" * 50)), Limits(inline_input_bytes=20))
    (first,) = driver.asked(WriteManifests)
    driver.tell(Cancel(path="s", **BY))
    driver.tell(Restart(path="s", **BY))
    (second,) = driver.asked(WriteManifests)
    old, new = '{"artifact":{"uri":"old"}}', '{"artifact":{"uri":"new"}}'
    assert (
        driver.tell(ManifestsWritten(path="s", asked=first.asked, inputs={"big": old})).events == []
    )
    driver.tell(ManifestsWritten(path="s", asked=second.asked, inputs={"big": new}))
    assert driver.state.steps["s"].inputs == {"big": new}


def test_a_permit_that_was_granted_before_a_restart_does_not_count_after_it() -> None:
    block = step("s")
    block.step.tags.append("gold")
    driver = begun(block, Limits())
    (first,) = driver.asked(TakePermits)
    driver.tell(Cancel(path="s", **BY))
    driver.tell(Restart(path="s", **BY))
    (second,) = driver.asked(TakePermits)
    assert driver.tell(PermitsGranted(path="s", asked=first.asked)).events == []
    assert driver.requested == []
    driver.tell(PermitsGranted(path="s", asked=second.asked))
    assert driver.requested == ["s"]
