"""Forks: a run that begins with another one's state."""

from __future__ import annotations

import pytest

from kaon_coordinator.engine.actions import (
    ReleasePermits,
    RequestStep,
    TakePermits,
    Timer,
    WatchTime,
)
from kaon_coordinator.engine.commands.fork import fork_state
from kaon_coordinator.engine.decide import submit
from kaon_coordinator.engine.issue import StepIssue
from kaon_coordinator.engine.messages import (
    Cancel,
    LeaseExpired,
    Pause,
    PermitsGranted,
    Retry,
    Signal,
    Start,
    Started,
)
from kaon_coordinator.engine.rows.resume import derive
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState, StepState
from kaon_wire import canonical
from kaonapi.run.v1 import history_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, fan, for_each, literal, output, repeat, step, workflow
from .driver import Driver, failure


def fork(
    of: Driver, *, events: int | None = None, reset: tuple[str, ...] = (), **params: object
) -> Driver:
    """A driver of the fork of a run after some of its events (all when None), submitted and not begun."""
    driver = Driver(of.definition, of.behaviour)
    driver.state = fork_state(of.replayed(events), "r2")
    driver.history = []
    driver.now_us = of.now_us + 1_000_000_000
    given = {name: canonical.dumps(value) for name, value in {**of.params, **params}.items()}
    seq = len(of.history) if events is None else events
    submitted = history_pb2.RunSubmitted(
        workflow="test",
        params_json=given,
        submitter="me",
        fork=history_pb2.RunFork(run_id="r1", seq=seq, reset=reset),
    )
    driver.absorb(submit(driver.state, submitted=submitted, context=driver.context()))
    return driver


def finish(driver: Driver) -> RunState:
    """Begins the run and plays it to its end; its history over its beginning must give its state."""
    driver.tell(Start())
    driver.drain()
    return driver.state


def seq_of(driver: Driver, kind: str, path: str) -> int:
    return next(
        e.seq
        for e in driver.history
        if e.WhichOneof("event") == kind and getattr(e, kind).path == path
    )


def counting() -> tuple[list[str], object]:
    """Which steps ran, and the behaviour that notes it."""
    ran: list[str] = []

    def behave(state: StepState) -> dict[str, object]:
        ran.append(state.path)
        return {"out": len(ran)}

    return ran, behave


def done(definition: d.WorkflowDefinition, **params: object) -> tuple[Driver, list[str]]:
    """A finished run, and the list that its steps and those of its forks note themselves in."""
    ran, behave = counting()
    driver = Driver(definition, behave, params=params)  # type: ignore[arg-type]
    driver.run()
    ran.clear()
    return driver, ran


def test_a_fork_goes_on_from_the_event_and_runs_nothing_again_that_had_ended() -> None:
    original, ran = done(workflow(chain(step("a"), step("b", x=output("a")), step("c"))))
    forked = fork(original, events=seq_of(original, "step_ended", "b"))
    assert finish(forked).status == t.SUCCEEDED
    assert ran == ["c"]
    assert forked.state.steps["b"].outputs == {"out": "2"}


def test_a_fork_has_a_history_of_its_own_and_is_nobodys_child() -> None:
    original, _ = done(workflow(chain(step("a"), step("b"))))
    original.state.parent_run_id, original.state.parent_path = "p", "child"
    forked = fork(original, events=seq_of(original, "step_ended", "a"))
    finish(forked)
    assert [event.seq for event in forked.history] == list(range(1, len(forked.history) + 1))
    assert {event.run_id for event in forked.history} == {"r2"}
    assert forked.state.parent_run_id == forked.state.parent_path == ""
    assert (forked.state.fork_run_id, forked.state.fork_seq) == (
        "r1",
        seq_of(original, "step_ended", "a"),
    )


def test_what_was_running_begins_anew_and_its_old_holder_counts_no_more() -> None:
    original, _ = done(workflow(chain(step("a"), step("b"))))
    forked = fork(original, events=seq_of(original, "step_leased", "b"))
    step_ = forked.state.steps["b"]
    assert (step_.status, step_.attempt, step_.runner_id) == (t.PENDING, 0, "")
    decided = forked.tell(Start())
    assert [each.path for each in decided.actions if isinstance(each, RequestStep)] == ["b"]
    assert forked.state.steps["b"].generation == 2


def test_blocks_that_are_named_begin_anew_with_everything_after_them() -> None:
    original, ran = done(workflow(chain(step("a"), step("b"), step("c"))))
    assert finish(fork(original, reset=("b",))).status == t.SUCCEEDED
    assert ran == ["b", "c"]


def test_new_params_count_for_what_begins_in_the_fork() -> None:
    definition = workflow(
        chain(step("a", x=d.Binding(parameter="p")), step("b", x=d.Binding(parameter="p")))
    )
    definition.parameters.add(name="p", type=d.VALUE_TYPE_INT)
    original, _ = done(definition, p=1)
    forked = fork(original, reset=("b",), p=2)
    finish(forked)
    assert forked.state.steps["a"].inputs == {"x": "1"}
    assert forked.state.steps["b"].inputs == {"x": "2"}


def test_a_block_that_was_not_there_is_told_and_nothing_else_changes() -> None:
    original, _ = done(workflow(chain(step("a"))))
    forked = fork(original, reset=("nowhere",))
    assert finish(forked).status == t.SUCCEEDED
    refused = [
        event.command_refused for event in forked.history if event.HasField("command_refused")
    ]
    assert [(each.command, each.path) for each in refused] == [("fork", "nowhere")]


def test_a_fork_of_a_run_that_had_not_begun_begins_at_the_beginning() -> None:
    original, ran = done(workflow(chain(step("a"), step("b"))))
    assert finish(fork(original, events=1)).status == t.SUCCEEDED
    assert ran == ["a", "b"]


@pytest.mark.parametrize("end", [None, t.FAILED])
def test_a_fork_at_the_end_with_nothing_to_do_ends_like_the_original(end: t.Status | None) -> None:
    behave = (lambda _: failure()) if end else (lambda _: {"out": 1})
    original = Driver(workflow(chain(step("a"), step("b"))), behave)
    original.run()
    assert finish(fork(original)).status == original.state.status == (end or t.SUCCEEDED)


def test_a_fork_of_a_run_that_succeeded_does_not_begin_its_failure_hooks() -> None:
    hook = step("alert")
    hook.phase = d.PHASE_ON_FAILURE
    original, ran = done(workflow(fan(step("a"), hook)))
    forked = fork(original)
    assert finish(forked).status == t.SUCCEEDED
    assert not ran
    assert forked.state.steps["alert"].status == t.SKIPPED


def test_a_cancel_of_the_original_does_not_count_in_the_fork() -> None:
    ran, behave = counting()
    original = Driver(workflow(chain(step("a"), step("b"), step("c"))), behave)  # type: ignore[arg-type]
    original.tell(Start())
    original.execute(original.take())
    original.tell(Started(lease=original.lease("b")))
    original.tell(Cancel(reason="", requester="me"))
    assert original.state.status == t.CANCELLING
    stopping = fork(original)
    assert not stopping.state.cancel_requested
    assert finish(stopping).status == t.SUCCEEDED
    original.drain()
    assert original.state.status == t.CANCELLED
    ran.clear()
    # The step that was stopped has ended: it stays so until it is reset.
    assert finish(fork(original)).status == t.CANCELLED
    assert ran == []
    assert finish(fork(original, reset=("b",))).status == t.SUCCEEDED
    assert ran == ["b", "c"]


def test_a_pause_of_the_original_does_not_count_in_the_fork() -> None:
    original = Driver(workflow(chain(step("a"), step("b"))), lambda _: {"out": 1})
    original.tell(Start())
    original.tell(Pause(reason="", requester="me"))
    assert finish(fork(original)).status == t.SUCCEEDED


def test_signals_that_no_gate_has_taken_are_kept() -> None:
    gate = d.Block(name="g", gate=d.Gate(signal=d.SignalGate(name="go")))
    original = Driver(workflow(chain(step("a"), gate)), lambda _: {"out": 1})
    original.tell(Start())
    original.tell(Signal(name="go", payload_json="7", requester="me"))
    forked = fork(original)
    assert finish(forked).status == t.SUCCEEDED
    assert forked.state.blocks["g"].outputs["payload"] == "7"


def test_a_gate_that_waited_waits_anew_with_all_its_time() -> None:
    gate = d.Block(name="g", gate=d.Gate(approval=d.Approval(), timeout_ms=1_000))
    original = Driver(workflow(chain(gate)), lambda _: {"out": 1})
    original.tell(Start())
    forked = fork(original)
    forked.tell(Start())
    assert forked.state.blocks["g"].due_us == forked.now_us + 1_000_000


def test_a_foreach_that_was_under_way_starts_the_cells_that_were_left() -> None:
    each = for_each("f", literal(["x", "y", "z"]), chain(step("s")), at_once=1)
    original, ran = done(workflow(chain(each)))
    forked = fork(original, events=seq_of(original, "step_ended", "f[x]/s"))
    assert finish(forked).status == t.SUCCEEDED
    assert ran == ["f[y]/s", "f[z]/s"]


def test_a_fork_between_the_passes_of_a_repeat_goes_on_with_the_next() -> None:
    cycle = repeat("cycle", chain(step("s")), output("s"), 2, accept=True)
    ran: list[str] = []

    def behave(state: StepState) -> dict[str, object]:
        ran.append(state.path)
        return {"out": False}

    original = Driver(workflow(chain(cycle)), behave)
    original.run()
    ran.clear()
    forked = fork(original, events=seq_of(original, "block_ended", "cycle#1"))
    assert finish(forked).status == t.SUCCEEDED
    assert ran == ["cycle#2/s"]


def test_every_event_of_a_run_can_be_forked_and_the_fork_ends() -> None:
    body = chain(
        for_each("f", literal([1, 2]), chain(step("s", attempts=2))),
        repeat("r", chain(step("u")), output("u"), 2, accept=True),
        step("z"),
    )

    def behave(state: StepState):  # type: ignore[no-untyped-def]
        return failure() if state.block.name == "s" and state.attempt == 1 else {"out": False}

    original = Driver(workflow(body), behave)
    original.run()
    for events in range(1, len(original.history) + 1):
        forked = fork(original, events=events)
        begun = fork_state(original.replayed(events), "r2")
        assert finish(forked).status == t.SUCCEEDED, events
        forked.check_replay_over(begun)


def test_the_time_of_a_fork_and_of_its_blocks_counts_from_its_own_beginning() -> None:
    each = for_each("f", literal([1, 2]), chain(step("s")), at_once=1)
    each.timeout_ms = 5_000
    definition = workflow(chain(each))
    definition.timeout_ms = 9_000
    original, _ = done(definition)
    forked = fork(original, events=seq_of(original, "step_ended", "f[1]/s"))
    watched = {
        (each.timer, each.path): each.due_us - forked.state.start_us
        for each in forked.tell(Start()).actions
        if isinstance(each, WatchTime)
    }
    assert watched == {(Timer.TIMEOUT, ""): 9_000_000, (Timer.TIMEOUT, "f"): 5_000_000}


def test_a_fork_waits_for_the_permit_of_its_workflow_and_then_resets_what_it_should() -> None:
    definition = workflow(chain(step("a"), step("b")))
    definition.max_active_runs = 1
    ran, behave = counting()
    original = Driver(definition, behave)  # type: ignore[arg-type]
    original.tell(Start())
    original.tell(PermitsGranted(path="", asked=original.question("")))
    original.drain()
    ran.clear()
    forked = fork(original, reset=("b",))
    asked = forked.tell(Start())
    assert asked.events == []
    assert [type(each) for each in asked.actions] == [TakePermits]
    forked.take_over()
    assert [type(each) for each in derive(forked.state)] == [TakePermits]
    forked.tell(PermitsGranted(path="", asked=forked.question("")))
    forked.drain()
    assert ran == ["b"]
    assert forked.state.status == t.SUCCEEDED


def test_a_fork_can_be_cancelled_before_it_begins_and_nothing_of_it_is_left_active() -> None:
    each = for_each("f", literal([1, 2]), chain(step("s")), at_once=1)
    original, ran = done(workflow(chain(each)))
    forked = fork(original, events=seq_of(original, "step_leased", "f[2]/s"))
    assert (
        forked.tell(Retry(path="", reason="", requester="me")).events[0].HasField("command_refused")
    )
    decided = forked.tell(Cancel(reason="", requester="me"))
    assert forked.state.status == t.CANCELLED
    assert ReleasePermits(path="") in decided.actions
    assert {step_.status for step_ in forked.state.steps.values()} <= t.TERMINAL
    assert forked.state.blocks["f"].status == t.CANCELLED
    assert ran == []


def test_the_rows_of_a_fork_are_its_own_and_give_its_state() -> None:
    body = chain(for_each("f", literal([1, 2]), fan(step("s"), step("u"))), step("z"))
    original, _ = done(workflow(body))
    forked = fork(original, events=seq_of(original, "step_leased", "f[2]/u"), reset=("f[1]/s",))
    forked.take_over()
    forked.tell(Start())
    forked.take_over()
    forked.drain()
    assert forked.state.status == t.SUCCEEDED


def test_a_lease_of_the_original_expires_without_effect_on_the_fork() -> None:
    original, _ = done(workflow(chain(step("a"))))
    forked = fork(original, events=seq_of(original, "step_leased", "a"))
    forked.tell(Start())
    assert (
        forked.tell(LeaseExpired(issue=StepIssue(path="a", attempt=1, generation=1))).events == []
    )
