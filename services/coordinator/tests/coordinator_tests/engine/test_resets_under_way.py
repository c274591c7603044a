"""Resets under way and forks: what was held back goes on, hooks whose turn has not come stay, and time goes on."""

from __future__ import annotations

from kaon_coordinator.engine.actions import TakePermits, Timer
from kaon_coordinator.engine.messages import (
    Continued,
    PermitsGranted,
    Restart,
    Retry,
    Start,
    Started,
    Succeeded,
)
from kaon_coordinator.engine.state import transitions as t
from kaonapi.workflow.v1 import definition_pb2 as d

from . import test_forks as forks
from .build import chain, fan, for_each, literal, output, step, workflow
from .driver import Driver, failure
from .test_new_versions import done, finish, fork

BY = {"reason": "because", "requester": "me"}


def with_phase(phase: d.Phase.ValueType, name: str) -> d.Block:
    block = step(name)
    block.phase = phase
    return block


def group(*blocks: d.Block, timeout_ms: int = 0) -> d.Block:
    return d.Block(name="g", group=d.Group(body=fan(*blocks)), timeout_ms=timeout_ms)


def started(definition: d.WorkflowDefinition) -> Driver:
    driver = Driver(definition, lambda each: {"out": 1})
    driver.tell(Start())
    return driver


def run(driver: Driver, path: str) -> None:
    driver.requested.remove(path)
    driver.tell(Started(lease=driver.lease(path)))


def succeed(driver: Driver, path: str) -> None:
    driver.tell(Succeeded(lease=driver.lease(path), outputs={"out": "1"}))


def test_a_cell_goes_on_that_was_held_back_by_a_failure_that_is_retried() -> None:
    body = fan(step("a"), step("b", x=output("a")), step("c"))
    body.edges.add(source="a", target="b")
    driver = started(workflow(fan(for_each("k", literal([0, 1]), body))))
    fails = [True]
    driver.behaviour = lambda each: failure() if fails[0] else {"out": 1}
    for path in ("k[1]/a", "k[1]/c"):
        run(driver, path)
    for path in ("k[0]/a", "k[0]/c"):
        driver.requested.remove(path)
        driver.execute(path)
    fails[0] = False
    # Its stop comes too late, and its successor does not start: the failed cell stops the others.
    succeed(driver, "k[1]/a")
    assert driver.state.steps["k[1]/b"].status == t.PENDING
    driver.tell(Retry(path="k[0]", **BY))
    assert "k[1]/b" in driver.requested
    succeed(driver, "k[1]/c")
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


def test_the_time_of_a_block_counts_anew_when_something_in_it_runs_again_after_its_time_out() -> (
    None
):
    driver = started(workflow(fan(group(step("a"), step("b"), timeout_ms=5_000))))
    for path in ("g/a", "g/b"):
        run(driver, path)
    succeed(driver, "g/a")
    driver.let_time_pass(Timer.TIMEOUT, "g")
    driver.tell(Restart(path="g/a", **BY))
    now_us = driver.now_us
    assert driver.state.blocks["g"].stop == t.NONE
    driver.take_over()
    driver.let_time_pass(Timer.TIMEOUT, "g")
    assert driver.now_us > now_us + 4_000_000
    driver.drain()
    assert driver.state.status == t.FAILED
    assert driver.state.blocks["g"].status == t.TIMED_OUT
    driver.check_replay()


def test_nothing_starts_in_a_fork_before_it_begins() -> None:
    original, player = done(workflow(chain(step("a"), step("b"))), "b")
    forked = fork(original, original.definition)
    assert forked.tell(Continued(path="b")).events == []
    assert finish(forked, original).status == t.SUCCEEDED
    assert player.ran == ["b"]


def test_failure_hooks_that_are_new_in_what_has_succeeded_do_not_run() -> None:
    hook, tidy = with_phase(d.PHASE_ON_FAILURE, "h"), with_phase(d.PHASE_FINALLY, "f")
    new, outer = with_phase(d.PHASE_ON_FAILURE, "new"), with_phase(d.PHASE_ON_FAILURE, "outer")
    for hooks in ([hook], [hook, tidy]):
        original, player = done(workflow(fan(group(step("a"), *hooks))))
        forked = fork(original, workflow(fan(group(step("a"), *hooks, new), outer)))
        assert finish(forked, original).status == t.SUCCEEDED
        assert not {"g/h", "g/new", "outer"} & set(player.ran)
        restarted = forked.tell(Restart(path="g/h", **BY))
        assert [each.WhichOneof("event") for each in restarted.events] == ["command_refused"]


def test_no_event_of_a_run_is_older_than_what_came_before_it_on_whatever_clock() -> None:
    definition = workflow(fan(step("a"), with_phase(d.PHASE_BODY, "b")))
    definition.on_error = d.ON_ERROR_FINISH
    original, _ = done(definition, "a")
    forked = fork(original, definition, failed=False, reset=("b",), behaviour=lambda _: failure())
    forked.now_us = 5
    assert finish(forked, original).status == t.FAILED
    times = [event.time_us for event in forked.history]
    assert times == sorted(times)


def test_a_fork_begins_without_the_lock_that_a_gate_had_taken_in_the_original() -> None:
    gate = d.Block(name="g", gate=d.Gate(signal=d.SignalGate(name="go")))
    gate.locks.add(name="one", limit=1)
    original = started(workflow(fan(gate)))
    asked = original.asked(TakePermits)[-1]
    original.tell(PermitsGranted(path="g", asked=asked.asked))
    forked = forks.fork(original, events=original_seq(original, "locks_taken"))
    forked.take_over()
    forked.tell(Start())
    assert forked.state.blocks["g"].locks == ()
    # The rows say the same.
    forked.take_over()


def original_seq(driver: Driver, kind: str) -> int:
    return next(event.seq for event in driver.history if event.WhichOneof("event") == kind)
