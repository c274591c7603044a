"""Steps that serve those after them, until nothing else is left to do in their scope."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kaon_coordinator.api.wait_reasons import AskMatcher, WaitReasons
from kaon_coordinator.engine.actions import RevokeReason
from kaon_coordinator.engine.commands.fork import fork_state
from kaon_coordinator.engine.decide import submit
from kaon_coordinator.engine.messages import (
    Cancel,
    Failed,
    LeaseExpired,
    Restart,
    Retry,
    RetryDue,
    Serves,
    Start,
    Started,
    Stopped,
    Succeeded,
)
from kaon_coordinator.engine.state import transitions as t
from kaon_wire import canonical
from kaon_wire.definitions.validate import validate
from kaonapi.run.v1 import history_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, for_each, literal, output, repeat, step, workflow
from .driver import Driver, failure


def server(name: str, *, attempts: int = 1) -> d.Block:
    block = step(name, attempts=attempts)
    block.step.serves = True
    return block


def graph(blocks: list[d.Block], *edges: tuple[str, str]) -> d.WorkflowDefinition:
    pairs = [d.Edge(source=source, target=target) for source, target in sorted(edges)]
    return workflow(d.Graph(blocks=blocks, edges=pairs))


def driver_of(definition: d.WorkflowDefinition) -> Driver:
    driver = Driver(definition, lambda _: {"out": 1})
    driver.tell(Start())
    return driver


def begin(driver: Driver, path: str) -> None:
    driver.requested.remove(path)
    driver.tell(Started(lease=driver.lease(path)))


def serve(driver: Driver, path: str, address: str = "here") -> None:
    driver.tell(Serves(lease=driver.lease(path), outputs={"out": canonical.dumps(address)}))


def succeed(driver: Driver, path: str) -> None:
    if path in driver.requested:
        begin(driver, path)
    driver.tell(Succeeded(lease=driver.lease(path), outputs={"out": "1"}))


def status(driver: Driver, path: str) -> str:
    return t.short(driver.state.steps[path].status)


def check(driver: Driver) -> None:
    driver.check_replay()
    driver.take_over()


def serving_two() -> Driver:
    """A server that serves, and two steps after it that are READY."""
    blocks = [server("db", attempts=2), step("a", x=output("db")), step("b", attempts=2)]
    driver = driver_of(graph(blocks, ("db", "a"), ("db", "b")))
    begin(driver, "db")
    serve(driver, "db")
    return driver


def test_successors_start_when_it_serves_and_it_is_stopped_after_the_last_of_them() -> None:
    driver = serving_two()
    assert status(driver, "db") == "SERVING"
    assert sorted(driver.requested) == ["a", "b"]
    assert driver.state.steps["a"].inputs == {"x": '"here"'}
    succeed(driver, "a")
    assert not driver.revoked
    check(driver)
    succeed(driver, "b")
    (revoked,) = driver.revoked
    assert (revoked.issue.path, revoked.reason) == ("db", RevokeReason.SCOPE_OVER)
    assert status(driver, "db") == "CANCELLING"
    check(driver)
    driver.tell(Stopped(lease=driver.lease("db")))
    assert (status(driver, "db"), driver.state.steps["db"].outputs) == (
        "SUCCEEDED",
        {"out": '"here"'},
    )
    assert driver.state.status == t.SUCCEEDED
    check(driver)


def test_a_server_that_nothing_needs_before_it_serves_is_skipped() -> None:
    rule = step("c")
    rule.trigger = d.TRIGGER_RULE_ANY_SUCCEEDED
    driver = driver_of(graph([server("db"), step("a"), rule], ("a", "c"), ("db", "c")))
    begin(driver, "db")
    succeed(driver, "a")
    succeed(driver, "c")
    driver.tell(Stopped(lease=driver.lease("db")))
    assert status(driver, "db") == "SKIPPED"
    assert driver.state.status == t.SUCCEEDED
    check(driver)


def test_one_that_waits_for_a_runner_ends_at_once() -> None:
    rule = step("c")
    rule.trigger = d.TRIGGER_RULE_ANY_SUCCEEDED
    driver = driver_of(graph([server("db"), step("a"), rule], ("a", "c"), ("db", "c")))
    succeed(driver, "a")
    succeed(driver, "c")
    assert (status(driver, "db"), driver.state.status) == ("SKIPPED", t.SUCCEEDED)
    check(driver)


def test_it_says_again_that_it_serves_and_nothing_starts_twice() -> None:
    driver = serving_two()
    events = len(driver.history)
    serve(driver, "db")
    assert len(driver.history) == events


def test_a_server_that_dies_serves_again_and_what_has_begun_goes_on() -> None:
    blocks = [server("db", attempts=2), step("a"), step("b", x=output("db"))]
    driver = driver_of(graph(blocks, ("db", "a"), ("db", "b"), ("a", "b")))
    begin(driver, "db")
    serve(driver, "db")
    begin(driver, "a")
    driver.tell(Failed(lease=driver.lease("db"), error=failure()))
    assert status(driver, "db") == "PENDING"
    succeed(driver, "a")
    check(driver)
    # It waits until the server serves again, and binds the new address.
    assert status(driver, "b") == "PENDING"
    driver.now_us = driver.state.steps["db"].retry_us
    driver.tell(RetryDue(issue=driver.state.steps["db"].issue))
    begin(driver, "db")
    assert status(driver, "b") == "PENDING"
    serve(driver, "db", "there")
    assert driver.requested == ["b"]
    assert driver.state.steps["b"].inputs == {"x": '"there"'}
    assert driver.state.steps["a"].attempt == 1
    check(driver)


def test_a_lost_runner_is_replaced() -> None:
    driver = serving_two()
    driver.tell(LeaseExpired(issue=driver.state.steps["db"].issue))
    assert (status(driver, "db"), driver.state.steps["db"].attempt) == ("READY", 1)
    begin(driver, "db")
    serve(driver, "db", "there")
    assert driver.state.steps["db"].outputs == {"out": '"there"'}
    check(driver)


def test_an_attempt_that_ends_by_itself_has_failed() -> None:
    driver = serving_two()
    succeed(driver, "db")
    step_ = driver.state.steps["db"]
    assert step_.status == t.PENDING
    assert step_.error is not None
    assert step_.error.type == "ServiceEnded"


def test_its_final_failure_fails_the_scope_whoever_would_handle_that_of_another() -> None:
    late = step("late")
    late.trigger = d.TRIGGER_RULE_ALL_DONE
    blocks = [server("db"), step("a"), late]
    driver = driver_of(graph(blocks, ("db", "a"), ("a", "late")))
    begin(driver, "db")
    serve(driver, "db")
    begin(driver, "a")
    driver.tell(Failed(lease=driver.lease("db"), error=failure()))
    driver.tell(Stopped(lease=driver.lease("a")))
    assert (status(driver, "db"), driver.state.status) == ("FAILED", t.FAILED)
    check(driver)


def test_who_asks_why_a_step_waits_is_told_of_the_server_that_is_down_and_not_of_one_that_serves() -> (
    None
):
    blocks = [server("db", attempts=2), step("a"), step("b")]
    driver = driver_of(graph(blocks, ("db", "a"), ("a", "b")))
    begin(driver, "db")
    serve(driver, "db")
    begin(driver, "a")
    assert why(driver, "db") == [
        "db serves what comes after it at a, until nothing else is left to do in its scope."
    ]
    driver.tell(Failed(lease=driver.lease("db"), error=failure()))
    succeed(driver, "a")
    assert status(driver, "b") == "PENDING"
    assert why(driver, "b")[0] == "b waits for db."


def why(driver: Driver, path: str) -> list[str]:
    _, reasons = WaitReasons(driver.state, {}, driver.now_us).of(path)
    return [each.text for each in reasons if not isinstance(each, AskMatcher)]


def test_an_optional_server_may_fail() -> None:
    blocks = [server("db"), step("a")]
    blocks[0].optional = True
    driver = driver_of(graph(blocks, ("db", "a")))
    begin(driver, "db")
    serve(driver, "db")
    begin(driver, "a")
    driver.tell(Failed(lease=driver.lease("db"), error=failure()))
    succeed(driver, "a")
    assert driver.state.status == t.SUCCEEDED


def test_outputs_that_were_not_declared_fail_the_attempt() -> None:
    driver = driver_of(graph([server("db"), step("a")], ("db", "a")))
    begin(driver, "db")
    driver.tell(Serves(lease=driver.lease("db"), outputs={"other": "1"}))
    assert [each.reason for each in driver.revoked] == [RevokeReason.STALE_LEASE]
    error = driver.state.steps["db"].error
    assert error is not None
    assert error.type == "OutputMismatch"


def test_a_step_that_is_no_server_cannot_say_that_it_serves() -> None:
    driver = driver_of(workflow(chain(step("a"))))
    begin(driver, "a")
    serve(driver, "a")
    error = driver.state.steps["a"].error
    assert error is not None
    assert error.type == "NotAService"


@pytest.mark.parametrize("force", [False, True])
def test_a_cancelled_run_stops_its_servers(force: bool) -> None:
    driver = serving_two()
    begin(driver, "a")
    driver.tell(Cancel(requester="ada", reason="no", force=force))
    assert {each.issue.path for each in driver.revoked} == {"db", "a"}
    for path in ("db", "a"):
        driver.tell(Stopped(lease=driver.lease(path)))
    assert driver.state.status == t.CANCELLED
    check(driver)


def test_hooks_begin_after_its_end() -> None:
    hook = step("hook")
    hook.phase = d.PHASE_FINALLY
    driver = driver_of(graph([server("db"), step("a"), hook], ("db", "a")))
    begin(driver, "db")
    serve(driver, "db")
    succeed(driver, "a")
    assert driver.requested == []
    driver.tell(Stopped(lease=driver.lease("db")))
    assert driver.requested == ["hook"]


def ended_with_failure() -> Driver:
    """A run whose server has served `a`, which succeeded, and `b`, which failed."""
    driver = driver_of(
        graph([server("db"), step("a", x=output("db")), step("b")], ("db", "a"), ("a", "b"))
    )
    begin(driver, "db")
    serve(driver, "db")
    succeed(driver, "a")
    begin(driver, "b")
    driver.tell(Failed(lease=driver.lease("b"), error=failure()))
    driver.tell(Stopped(lease=driver.lease("db")))
    assert (driver.state.status, status(driver, "db")) == (t.FAILED, "SUCCEEDED")
    return driver


AGAIN = {
    "retry": lambda driver: driver.tell(Retry(requester="ada", path="", reason="")),
    "restart": lambda driver: driver.tell(Restart(requester="ada", path="b", reason="")),
}


@pytest.mark.parametrize("again", AGAIN.values(), ids=AGAIN)
def test_a_server_serves_again_before_what_runs_again(again: Callable[[Driver], object]) -> None:
    driver = ended_with_failure()
    again(driver)
    assert driver.requested == ["db"]
    assert (status(driver, "a"), status(driver, "b")) == ("SUCCEEDED", "PENDING")
    check(driver)
    begin(driver, "db")
    serve(driver, "db", "there")
    assert driver.requested == ["b"]
    succeed(driver, "b")
    driver.tell(Stopped(lease=driver.lease("db")))
    assert driver.state.status == t.SUCCEEDED
    check(driver)


def test_one_that_goes_on_is_left_alone_by_a_restart() -> None:
    driver = serving_two()
    succeed(driver, "a")
    driver.tell(Restart(requester="ada", path="a", reason=""))
    assert status(driver, "db") == "SERVING"
    assert sorted(driver.requested) == ["a", "b"]
    check(driver)


def test_a_restart_is_refused_while_a_server_before_it_is_stopping() -> None:
    driver = serving_two()
    succeed(driver, "a")
    succeed(driver, "b")
    decision = driver.tell(Restart(requester="ada", path="b", reason=""))
    (refused,) = [each.command_refused for each in decision.events]
    assert "db is CANCELLING" in refused.problem


def test_a_fork_keeps_what_was_served_and_serves_again() -> None:
    driver = serving_two()
    succeed(driver, "a")
    fork = Driver(driver.definition, driver.behaviour, run_id="r2")
    fork.state = fork_state(driver.replayed(), "r2")
    fork.history = []
    fork.requested = []
    submitted = history_pb2.RunSubmitted(
        workflow="test", fork=history_pb2.RunFork(run_id="r1", seq=driver.state.seq)
    )
    fork.absorb(submit(fork.state, submitted=submitted, context=fork.context()))
    fork.tell(Start())
    assert fork.requested == ["db"]
    assert (status(fork, "a"), status(fork, "b")) == ("SUCCEEDED", "PENDING")
    fork.drain()
    assert fork.state.status == t.SUCCEEDED


def test_a_run_that_was_cancelled_before_it_began_can_be_forked() -> None:
    driver = Driver(graph([server("db"), step("a")], ("db", "a")), lambda _: {"out": 1})
    driver.tell(Cancel(requester="ada", reason="no"))
    assert driver.state.status == t.CANCELLED
    assert fork_state(driver.replayed(), "r2").status == t.PENDING


def test_each_pass_and_each_cell_has_a_server_of_its_own() -> None:
    inner = chain(server("db"), step("a", x=output("db")))
    loop = repeat("r", inner, output("a"), 3, accept=True)
    each = for_each("f", literal([1, 2]), d.Graph(blocks=[loop]))
    driver = Driver(workflow(d.Graph(blocks=[each])), lambda _: {"out": False})
    driver.run()
    assert driver.state.status == t.SUCCEEDED
    servers = [each for each in driver.state.steps.values() if each.spec.serves]
    assert len(servers) == 6
    assert {each.status for each in servers} == {t.SUCCEEDED}
    check(driver)


def problems_of(change: Callable[[d.Block, d.Block], None]) -> list[str]:
    db, a = server("db"), step("a")
    change(db, a)
    return validate(graph([db, a], ("db", "a")))


def _remember(db: d.Block, a: d.Block) -> None:
    db.step.memo.enabled = True


def _bound(db: d.Block, a: d.Block) -> None:
    db.step.timeout_ms = 1


def _late(db: d.Block, a: d.Block) -> None:
    db.deadline_ms = 1


def _hook(db: d.Block, a: d.Block) -> None:
    db.phase = a.phase = d.PHASE_FINALLY


def _type(db: d.Block, a: d.Block) -> None:
    db.step.type = "spark"


def _rule(db: d.Block, a: d.Block) -> None:
    a.trigger = d.TRIGGER_RULE_ALL_DONE


def _items(db: d.Block, a: d.Block) -> None:
    a.CopyFrom(for_each("a", output("db"), d.Graph(blocks=[step("x")])))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_remember, "has no memo"),
        (_bound, "has no timeout"),
        (_late, "has no deadline"),
        (_hook, "a hook cannot serve"),
        (_type, "'spark' cannot serve"),
        (_rule, "asks how db has ended"),
        (_items, "cannot come from db"),
    ],
)
def test_what_makes_no_sense_is_refused(
    change: Callable[[d.Block, d.Block], None], told: str
) -> None:
    assert [each for each in problems_of(change) if told in each]


def test_a_server_that_serves_nothing_is_refused() -> None:
    assert validate(workflow(chain(step("a"), server("db")))) == [
        "db: it serves what comes after it, and nothing does"
    ]
