"""What people ask of a run."""

from __future__ import annotations

import pytest

from kaon_coordinator.engine.actions import (
    EndStep,
    RequestStep,
    RevokeLease,
    SignalHolder,
    TakePermits,
)
from kaon_coordinator.engine.issue import StepIssue
from kaon_coordinator.engine.messages import (
    Cancel,
    Failed,
    LeaseExpired,
    Mark,
    Pause,
    PermitsGranted,
    PermitsRefused,
    Restart,
    Resume,
    Retry,
    RetryDue,
    SetPriority,
    Signal,
    Start,
    Started,
    Succeeded,
)
from kaon_coordinator.engine.state import transitions as t
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, fan, for_each, literal, output, step, workflow
from .driver import Driver, failure

BY = {"reason": "because", "requester": "me"}


def works(_: object) -> dict[str, object]:
    return {"out": 1}


def begun(*blocks: d.Block, behave=works) -> Driver:  # type: ignore[no-untyped-def]
    driver = Driver(workflow(chain(*blocks)), behave)
    driver.tell(Start())
    return driver


def refusals(driver: Driver) -> list[str]:
    return [e.command_refused.problem for e in driver.history if e.HasField("command_refused")]


def test_a_pause_takes_back_what_waits_for_a_runner_and_a_resume_asks_anew() -> None:
    driver = begun(step("a"))
    driver.asked(EndStep)
    driver.tell(Pause(**BY))
    assert driver.asked(EndStep) == [EndStep(issue=StepIssue(path="a", attempt=1, generation=1))]
    driver.requested.clear()
    driver.take_over()
    driver.tell(Resume(**BY))
    assert driver.requested == ["a"]
    assert driver.state.steps["a"].generation == 2
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


def test_what_runs_goes_on_during_a_pause_and_nothing_new_starts() -> None:
    driver = begun(step("a"), step("b"))
    driver.tell(Started(lease=driver.lease("a")))
    driver.tell(Pause(**BY))
    driver.requested.clear()
    driver.execute("a")
    assert driver.requested == []
    assert driver.state.status == t.PAUSED
    driver.tell(Resume(**BY))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


@pytest.mark.parametrize("due_in_pause", [True, False])
def test_a_step_that_waits_for_its_next_attempt_waits_out_the_pause(due_in_pause: bool) -> None:
    driver = begun(step("a", attempts=2))
    driver.tell(Failed(lease=driver.lease("a"), error=failure()))
    due = driver.retries.pop()
    driver.tell(Pause(**BY))
    driver.requested.clear()
    if due_in_pause:
        driver.now_us = due.due_us
        assert driver.tell(RetryDue(issue=due.issue)).events == []
    driver.tell(Resume(**BY))
    if not due_in_pause:
        assert driver.requested == []
        driver.now_us = due.due_us
        driver.tell(RetryDue(issue=due.issue))
    assert driver.requested == ["a"]
    assert driver.state.steps["a"].attempt == 2


def test_a_runner_that_is_lost_during_a_pause_is_replaced_after_it() -> None:
    driver = begun(step("a"))
    driver.tell(Started(lease=driver.lease("a")))
    driver.tell(Pause(**BY))
    driver.requested.clear()
    driver.tell(LeaseExpired(issue=StepIssue(path="a", attempt=1, generation=1)))
    assert driver.requested == []
    driver.tell(Resume(**BY))
    assert driver.requested == ["a"]


def test_pauses_and_resumes_that_do_not_fit_change_nothing() -> None:
    driver = begun(step("a"))
    assert driver.tell(Resume(**BY)).events == []
    driver.tell(Pause(**BY))
    assert driver.tell(Pause(**BY)).events == []
    driver.tell(Resume(**BY))
    driver.drain()
    driver.tell(Pause(**BY))
    driver.tell(Resume(**BY))
    assert refusals(driver) == ["the run is SUCCEEDED"] * 2


def test_a_run_that_is_paused_before_it_begins_begins_with_the_resume() -> None:
    driver = Driver(workflow(chain(step("a"))), works)
    driver.tell(Pause(**BY))
    assert driver.tell(Start()).events == []
    driver.tell(Resume(**BY))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


def test_a_run_waits_for_the_permits_of_its_workflow_and_its_backfill() -> None:
    definition = workflow(chain(step("a")))
    definition.max_active_runs = 1
    driver = Driver(definition, works)
    driver.state.origin = "backfill:b1"
    driver.tell(Start())
    assert driver.asked(TakePermits) == [
        TakePermits(path="", asked=1, keys=("workflow:test", "backfill:b1"))
    ]
    assert driver.state.status == t.PENDING
    driver.tell(PermitsGranted(path="", asked=driver.question("")))
    assert driver.tell(PermitsGranted(path="", asked=driver.question(""))).events == []
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


def test_a_cancel_under_a_path_stops_only_that_and_fails_what_needed_it() -> None:
    driver = Driver(workflow(fan(step("a"), step("b"))), works)
    driver.tell(Start())
    driver.tell(Cancel(path="a", skip=True, **BY))
    assert driver.state.steps["a"].status == t.SKIPPED
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    driver = Driver(workflow(fan(step("a"), step("b"))), works)
    driver.tell(Start())
    driver.tell(Cancel(path="a", **BY))
    driver.drain()
    assert driver.state.status == t.CANCELLED


def test_a_pending_step_can_be_skipped_before_its_turn() -> None:
    driver = begun(step("a"), step("b"), step("c"))
    driver.tell(Cancel(path="b", skip=True, **BY))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert driver.state.steps["b"].attempt == 0
    assert driver.state.steps["c"].status == t.SUCCEEDED


def test_a_cancel_of_what_is_not_there_or_has_ended_is_refused() -> None:
    driver = begun(step("a"), step("b"))
    driver.execute(driver.take())
    driver.tell(Cancel(path="nowhere", **BY))
    driver.tell(Cancel(path="a", **BY))
    assert refusals(driver) == ["there is no such step, block or cell", "it is SUCCEEDED"]


def test_a_cancel_that_comes_twice_counts_once() -> None:
    driver = begun(step("a"))
    driver.tell(Started(lease=driver.lease("a")))
    driver.tell(Cancel(**BY))
    assert driver.tell(Cancel(**BY)).events == []


def test_a_retry_runs_again_what_failed_and_what_never_began_and_nothing_else() -> None:
    ran: list[str] = []

    def behave(state):  # type: ignore[no-untyped-def]
        ran.append(state.path)
        return failure() if ran.count("b") == 1 and state.path == "b" else {"out": 1}

    driver = Driver(workflow(chain(step("a"), step("b"), step("c"))), behave)
    driver.run()
    assert driver.state.status == t.FAILED
    ran.clear()
    ran.append("b")
    driver.tell(Retry(path="", **BY))
    driver.drain()
    assert ran == ["b", "b", "c"]
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


def test_a_retry_of_what_has_not_failed_is_refused() -> None:
    driver = begun(step("a"))
    driver.drain()
    driver.tell(Retry(path="", **BY))
    driver.tell(Retry(path="nowhere", **BY))
    assert refusals(driver) == ["nothing has failed there", "there is no such step, block or cell"]


def test_a_restart_keeps_what_came_before_and_hands_the_new_values_on() -> None:
    count = iter(range(10))
    driver = Driver(
        workflow(chain(step("a"), step("b"), step("c", x=output("b")))),
        lambda _: {"out": next(count)},
    )
    driver.run()
    driver.tell(Restart(path="b", **BY))
    driver.drain()
    assert {path: step_.outputs["out"] for path, step_ in driver.state.steps.items()} == {
        "a": "0",
        "b": "3",
        "c": "4",
    }
    assert driver.state.steps["c"].inputs == {"x": "3"}
    assert driver.state.steps["a"].generation == 1
    assert driver.state.steps["b"].generation == 2
    driver.check_replay()


def test_a_restart_while_something_after_it_runs_is_refused_and_names_it() -> None:
    driver = begun(step("a"), step("b"))
    driver.execute(driver.take())
    driver.tell(Started(lease=driver.lease("b")))
    driver.tell(Restart(path="a", **BY))
    assert refusals(driver) == ["b is RUNNING: cancel it or wait for its end"]


def test_a_restart_of_a_whole_cell_runs_all_of_it_again() -> None:
    ran: list[str] = []

    def behave(state):  # type: ignore[no-untyped-def]
        ran.append(state.path)
        return {"out": 1}

    body = chain(for_each("f", literal(["x", "y"]), chain(step("s"), step("u"))))
    driver = Driver(workflow(body), behave)
    driver.run()
    ran.clear()
    driver.tell(Restart(path="f[x]", **BY))
    driver.drain()
    assert ran == ["f[x]/s", "f[x]/u"]
    assert driver.state.status == t.SUCCEEDED


def test_an_old_lease_counts_no_more_after_a_restart() -> None:
    driver = begun(step("a"), step("b"))
    old = driver.lease("a")
    driver.execute(driver.take())
    driver.requested.clear()
    driver.tell(Cancel(path="b", skip=True, **BY))
    driver.tell(Restart(path="a", **BY))
    assert driver.tell(Succeeded(lease=old, outputs={"out": "9"})).events == []
    assert driver.state.steps["a"].status == t.READY


def test_a_failed_step_is_marked_as_succeeded_by_hand_and_the_run_goes_on() -> None:
    driver = begun(
        step("a"),
        step("b", x=output("a")),
        behave=lambda s: failure() if s.path == "a" else {"out": 1},
    )
    driver.drain()
    assert driver.state.status == t.FAILED
    driver.tell(Mark(path="a", status=t.SUCCEEDED, outputs={"out": "5"}, **BY))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert driver.state.steps["b"].inputs == {"x": "5"}
    (marked,) = [e.block_marked for e in driver.history if e.HasField("block_marked")]
    assert (marked.path, marked.requester, marked.reason) == ("a", "me", "because")
    driver.check_replay()


def test_a_running_step_that_is_marked_takes_its_runner_away() -> None:
    driver = begun(step("a"))
    lease = driver.lease("a")
    driver.tell(Started(lease=lease))
    driver.tell(Mark(path="a", status=t.FAILED, outputs={}, **BY))
    assert [each.incarnation for each in driver.asked(RevokeLease)] == ["a"]
    assert driver.tell(Succeeded(lease=lease, outputs={"out": "1"})).events == []
    assert driver.state.status == t.FAILED
    assert driver.state.error is not None
    assert driver.state.error.message == "a: marked by me: because"


@pytest.mark.parametrize(
    ("path", "status", "outputs", "problem"),
    [
        ("nowhere", t.SUCCEEDED, {}, "there is no such step or block"),
        ("a", t.RUNNING, {}, "only SUCCEEDED, FAILED and SKIPPED can be marked"),
        (
            "a",
            t.SUCCEEDED,
            {},
            "outputs differ from the declared ones: missing ['out'], not declared []",
        ),
        ("f", t.SUCCEEDED, {}, "it is running: cancel it first, or mark the nodes inside"),
    ],
)
def test_a_mark_that_does_not_fit_is_refused_with_the_reason(
    path: str, status: t.Status, outputs: dict[str, str], problem: str
) -> None:
    driver = Driver(workflow(fan(step("a"), for_each("f", literal([1]), chain(step("s"))))), works)
    driver.tell(Start())
    driver.tell(Mark(path=path, status=status, outputs=outputs, **BY))
    assert refusals(driver) == [problem]


def test_a_new_priority_asks_anew_for_what_waits() -> None:
    driver = begun(step("a"))
    driver.asked(RequestStep)
    driver.tell(SetPriority(priority=5, requester="me"))
    assert driver.asked(RequestStep) == [RequestStep(path="a")]
    assert driver.state.priority == 5
    assert driver.tell(SetPriority(priority=5, requester="me")).events == []
    driver.drain()
    driver.tell(SetPriority(priority=6, requester="me"))
    assert refusals(driver) == ["the run is SUCCEEDED"]
    driver.check_replay()


def test_a_signal_reaches_the_step_that_runs_and_its_next_holder_too() -> None:
    driver = begun(step("a"))
    signal = Signal(name="more", payload_json="1", requester="me", path="a")
    driver.tell(signal)
    assert refusals(driver) == ["no step is running there"]
    driver.tell(Started(lease=driver.lease("a")))
    driver.tell(signal)
    (first,) = driver.asked(SignalHolder)
    driver.tell(LeaseExpired(issue=StepIssue(path="a", attempt=1, generation=1)))
    driver.tell(Started(lease=driver.lease("a", "b")))
    (again,) = driver.asked(SignalHolder)
    assert (first.seq, first.incarnation, first.payload_json) == (again.seq, "a", "1")
    assert (again.incarnation, again.issue.generation) == ("b", 2)
    driver.check_replay()


@pytest.mark.parametrize("paused", [False, True])
def test_a_run_that_is_refused_its_permits_ends_with_the_reason(paused: bool) -> None:
    definition = workflow(chain(step("a")))
    definition.strategy = d.SUBMIT_STRATEGY_FIRST_ONLY
    driver = Driver(definition, works)
    driver.tell(Start())
    assert [each.keys for each in driver.asked(TakePermits)] == [("strategy:test",)]
    if paused:
        driver.tell(Pause(reason="", requester="me"))
    refused = PermitsRefused(status=t.CANCELLED, kind="AlreadyActive", problem="run x is active")
    driver.tell(refused)
    assert driver.state.status == t.CANCELLED
    assert driver.state.error is not None
    assert (driver.state.error.type, driver.state.error.message) == (
        "AlreadyActive",
        "run x is active",
    )
    assert driver.tell(refused).events == []
    driver.check_replay()


def test_a_refusal_of_a_run_that_has_begun_changes_nothing() -> None:
    definition = workflow(chain(step("a")))
    definition.strategy = d.SUBMIT_STRATEGY_LAST_ONLY
    driver = Driver(definition, works)
    driver.tell(Start())
    driver.tell(PermitsGranted(path="", asked=driver.question("")))
    refused = PermitsRefused(status=t.CANCELLED, kind="Superseded", problem="run x is later")
    assert driver.tell(refused).events == []
