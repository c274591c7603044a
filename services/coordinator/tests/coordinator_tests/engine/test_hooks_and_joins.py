"""Branches, trigger rules, groups with their hooks: what runs after what."""

from __future__ import annotations

import pytest

from kaon_coordinator.api.wait_reasons import AskMatcher, WaitReasons
from kaon_coordinator.engine.actions import RequestStep, Timer
from kaon_coordinator.engine.messages import (
    Cancel,
    Pause,
    Restart,
    Resume,
    Retry,
    Start,
    Started,
)
from kaon_coordinator.engine.state import transitions as t
from kaon_wire import canonical
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import branch, chain, fan, literal, output, step, workflow
from .driver import Driver, failure

ANY, DONE, ALL = (
    d.TRIGGER_RULE_ANY_SUCCEEDED,
    d.TRIGGER_RULE_ALL_DONE,
    d.TRIGGER_RULE_ALL_SUCCEEDED,
)
BROKEN = "broken"


def behave(state):  # type: ignore[no-untyped-def]
    """Steps whose name begins with "broken" fail."""
    return failure() if state.block.name.startswith(BROKEN) else {"out": state.block.name}


def join(rule: d.TriggerRule.ValueType, *before: d.Block) -> d.Graph:
    after = step("after")
    after.trigger = rule
    edges = sorted(
        (d.Edge(source=each.name, target="after") for each in before), key=lambda e: e.source
    )
    return d.Graph(blocks=[*before, after], edges=edges)


def hook(name: str, phase: d.Phase.ValueType, **inputs: d.Binding) -> d.Block:
    block = step(name, **inputs)
    block.phase = phase
    return block


def group(name: str, *blocks: d.Block, **fields: int) -> d.Block:
    return d.Block(name=name, group=d.Group(body=d.Graph(blocks=blocks)), **fields)


def hooked(*body: d.Block) -> list[d.Block]:
    return [
        *body,
        hook("rescue", d.PHASE_ON_FAILURE, how=d.Binding(outcome=d.Outcome())),
        hook("clean", d.PHASE_FINALLY, how=d.Binding(outcome=d.Outcome())),
    ]


def played(body: d.Graph) -> Driver:
    driver = Driver(workflow(body), behave)
    driver.run()
    driver.check_replay()
    driver.take_over()
    return driver


def statuses(driver: Driver) -> dict[str, str]:
    return {path: t.short(step_.status) for path, step_ in driver.state.steps.items()}


def how(driver: Driver, path: str) -> object:
    return canonical.loads(driver.state.steps[path].inputs["how"])["status"]


SKIPPED_BRANCH = branch("a", literal(False), chain(step("way")))


@pytest.mark.parametrize(
    ("rule", "before", "after", "run"),
    [
        (d.TRIGGER_RULE_UNSPECIFIED, (step("a"), step("b")), "SUCCEEDED", "SUCCEEDED"),
        (d.TRIGGER_RULE_UNSPECIFIED, (SKIPPED_BRANCH, step("b")), "SUCCEEDED", "SUCCEEDED"),
        (d.TRIGGER_RULE_UNSPECIFIED, (step(BROKEN), step("b")), "SKIPPED", "FAILED"),
        (ALL, (step("a"), step("b")), "SUCCEEDED", "SUCCEEDED"),
        (ALL, (SKIPPED_BRANCH, step("b")), "SKIPPED", "SUCCEEDED"),
        (ANY, (step(BROKEN), step("b")), "SUCCEEDED", "SUCCEEDED"),
        (ANY, (SKIPPED_BRANCH, step("b")), "SUCCEEDED", "SUCCEEDED"),
        (ANY, (SKIPPED_BRANCH,), "SKIPPED", "SUCCEEDED"),
        (ANY, (step("broken-a"), step("broken-b")), "FAILED", "FAILED"),
        (DONE, (step(BROKEN), step("b")), "SUCCEEDED", "SUCCEEDED"),
        (DONE, (SKIPPED_BRANCH, step(BROKEN)), "SUCCEEDED", "SUCCEEDED"),
    ],
)
def test_a_join_starts_as_its_rule_wants(
    rule: d.TriggerRule.ValueType, before: tuple[d.Block, ...], after: str, run: str
) -> None:
    driver = played(join(rule, *before))
    assert statuses(driver)["after"] == after
    assert t.short(driver.state.status) == run


def test_a_join_that_any_one_lets_start_does_not_wait_for_the_others() -> None:
    driver = Driver(workflow(join(ANY, step("a"), step("b"))), behave)
    driver.tell(Start())
    driver.execute("a")
    assert "after" in driver.requested
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


def test_a_join_that_any_one_lets_start_starts_with_the_end_of_a_pause() -> None:
    driver = Driver(workflow(join(ANY, step("a"), step("b"))), behave)
    driver.tell(Start())
    driver.tell(Started(lease=driver.lease("a")))
    driver.tell(Started(lease=driver.lease("b")))
    driver.tell(Pause(reason="", requester="me"))
    driver.requested.clear()
    driver.execute("a")
    driver.take_over()
    driver.tell(Resume(reason="", requester="me"))
    assert driver.requested == ["after"]


def test_what_is_behind_a_skipped_join_is_skipped_with_the_reason() -> None:
    body = join(ALL, SKIPPED_BRANCH)
    body.blocks.append(step("last"))
    body.edges.append(d.Edge(source="after", target="last"))
    driver = played(body)
    assert driver.state.status == t.SUCCEEDED
    error = driver.state.steps["last"].error
    assert error is not None
    assert (error.type, error.message) == ("UpstreamFailed", "last: after is SKIPPED")


def told(driver: Driver, path: str) -> str:
    node = driver.state.node(path)
    assert node is not None
    assert node.error is not None
    assert node.error.type == "UpstreamFailed"
    return node.error.message


def test_a_join_that_none_lets_start_names_what_failed_before_it_and_so_does_the_run() -> None:
    driver = played(join(ANY, step("broken-a"), SKIPPED_BRANCH, step("broken-b")))
    why = "broken-a is FAILED (Test: boom); broken-b is FAILED (Test: boom); a is SKIPPED"
    assert told(driver, "after") == f"after: none of the blocks before it has succeeded: {why}"
    assert driver.state.error is not None
    assert driver.state.error.message == told(driver, "after")
    assert why in words(driver, "after")


def test_a_join_with_very_many_failures_before_it_names_some_of_them() -> None:
    driver = played(join(ANY, *(step(f"broken-{number:03}") for number in range(40))))
    message = told(driver, "after")
    assert message.count("Test") == 5
    assert message.endswith("; and 35 more")


@pytest.mark.parametrize("rule", [d.TRIGGER_RULE_UNSPECIFIED, ALL])
@pytest.mark.parametrize(
    "before", [(step("broken"),), (SKIPPED_BRANCH, step("broken")), (step("a"), step("broken"))]
)
def test_what_is_skipped_for_a_failure_names_it_however_far_it_is(
    rule: d.TriggerRule.ValueType, before: tuple[d.Block, ...]
) -> None:
    body = join(rule, *before)
    last, handler = step("last"), step("handler")
    handler.trigger = ANY
    body.blocks.extend([last, handler])
    body.edges.append(d.Edge(source="after", target="last"))
    body.edges.append(d.Edge(source="last", target="handler"))
    driver = played(body)
    cause = "broken is FAILED (Test: boom)"
    assert told(driver, "after") == f"after: {cause}"
    assert told(driver, "last") == f"last: after is SKIPPED, since {cause}"
    assert (
        told(driver, "handler")
        == f"handler: none of the blocks before it has succeeded: last is SKIPPED, since {cause}"
    )
    assert cause in words(driver, "last")


def words(driver: Driver, path: str) -> str:
    """What `kaon why` says."""
    _, found = WaitReasons(driver.state, {}, 2_000_000).of(path)
    return " ".join(link.text for link in found if not isinstance(link, AskMatcher))


def test_a_handled_failure_stops_nothing_beside_it() -> None:
    body = join(DONE, step(BROKEN))
    body.blocks.append(step("beside"))
    driver = Driver(workflow(body), behave)
    driver.tell(Start())
    driver.execute(BROKEN)
    assert "beside" in driver.requested
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


@pytest.mark.parametrize("fails", ["broken-1", "broken-2", "broken-3"])
def test_a_join_of_all_that_is_done_runs_whichever_block_before_it_fails(fails: str) -> None:
    names = ["a", "b", "c"]
    place = int(fails[-1]) - 1
    names[place] = fails
    body = chain(*(step(name) for name in names), join(DONE).blocks[0])
    driver = played(body)
    ends = ["SUCCEEDED"] * place + ["FAILED"] + ["SKIPPED"] * (2 - place) + ["SUCCEEDED"]
    assert statuses(driver) == dict(zip([*names, "after"], ends, strict=True))
    assert driver.state.status == t.SUCCEEDED


def test_a_join_of_all_that_is_done_waits_for_what_a_failure_further_up_does_not_touch() -> None:
    body = join(DONE, step("a"), step("b"))
    body.blocks.append(step(BROKEN))
    body.edges.append(d.Edge(source=BROKEN, target="a"))
    driver = Driver(workflow(body), behave)
    driver.tell(Start())
    driver.execute(BROKEN)
    assert driver.state.steps["a"].status == t.SKIPPED
    assert driver.state.steps["after"].status == t.PENDING
    driver.take_over()
    driver.execute("b")
    assert driver.requested[-1] == "after"
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


@pytest.mark.parametrize(("other", "after"), [("b", "SUCCEEDED"), ("broken-2", "FAILED")])
def test_a_join_that_any_one_lets_start_outlives_a_failure_further_up(
    other: str, after: str
) -> None:
    body = join(ANY, step("a"), step(other))
    body.blocks.append(step(BROKEN))
    body.edges.append(d.Edge(source=BROKEN, target="a"))
    driver = played(body)
    assert statuses(driver) == {
        BROKEN: "FAILED",
        "a": "SKIPPED",
        other: statuses(driver)[other],
        "after": after,
    }
    assert t.short(driver.state.status) == after


def test_a_join_that_any_one_lets_start_fails_when_all_before_it_were_skipped_for_a_failure() -> (
    None
):
    body = join(ANY, step("a"))
    body.blocks.append(step(BROKEN))
    body.edges.append(d.Edge(source=BROKEN, target="a"))
    driver = played(body)
    assert statuses(driver) == {BROKEN: "FAILED", "a": "SKIPPED", "after": "FAILED"}
    assert driver.state.status == t.FAILED


def test_the_first_case_that_holds_is_taken() -> None:
    cases = [
        d.Case(condition=literal(value), body=chain(step(name)))
        for name, value in (("one", False), ("two", True), ("three", True))
    ]
    driver = played(chain(d.Block(name="b", branch=d.Branch(cases=cases)), step("last")))
    assert statuses(driver) == {"b=1/two": "SUCCEEDED", "last": "SUCCEEDED"}


def test_hooks_after_success() -> None:
    driver = played(fan(group("u", *hooked(step("a")))))
    assert statuses(driver) == {"u/a": "SUCCEEDED", "u/rescue": "SKIPPED", "u/clean": "SUCCEEDED"}
    assert how(driver, "u/clean") == "SUCCEEDED"
    assert driver.state.status == t.SUCCEEDED


def test_hooks_after_failure_run_in_turn_and_do_not_undo_it() -> None:
    driver = played(fan(group("u", *hooked(step(BROKEN)))))
    assert driver.state.steps["u/rescue"].end_us <= driver.state.steps["u/clean"].begin_us
    assert how(driver, "u/rescue") == how(driver, "u/clean") == "FAILED"
    assert driver.state.status == t.FAILED


def test_hooks_of_the_run_itself_run_as_those_of_a_group() -> None:
    driver = played(fan(*hooked(step(BROKEN))))
    assert statuses(driver) == {BROKEN: "FAILED", "rescue": "SUCCEEDED", "clean": "SUCCEEDED"}
    assert driver.state.status == t.FAILED


def test_a_failed_hook_fails_what_had_succeeded_and_not_the_hooks_after_it() -> None:
    body = [step("a"), hook("broken-hook", d.PHASE_FINALLY), hook("clean", d.PHASE_FINALLY)]
    driver = played(fan(group("u", *body)))
    assert statuses(driver)["u/clean"] == "SUCCEEDED"
    assert driver.state.status == t.FAILED


def test_a_cancel_lets_finally_run_and_not_the_hooks_on_failure() -> None:
    driver = Driver(workflow(fan(group("u", *hooked(step("a"))))), behave)
    driver.tell(Start())
    driver.tell(Started(lease=driver.lease("u/a")))
    driver.tell(Cancel(reason="", requester="me"))
    driver.drain()
    assert statuses(driver) == {"u/a": "CANCELLED", "u/rescue": "SKIPPED", "u/clean": "SUCCEEDED"}
    assert how(driver, "u/clean") == "CANCELLED"
    assert driver.state.status == t.CANCELLED
    driver.check_replay()


def test_a_cancel_that_comes_while_hooks_run_lets_them_end() -> None:
    driver = Driver(workflow(fan(*hooked(step("a")))), behave)
    driver.tell(Start())
    driver.execute("a")
    driver.tell(Started(lease=driver.lease("clean")))
    driver.tell(Cancel(reason="", requester="me"))
    assert driver.state.steps["clean"].status == t.RUNNING
    driver.execute("clean")
    assert driver.state.steps["clean"].status == t.SUCCEEDED
    assert driver.state.ended


def test_a_forced_cancel_stops_hooks_and_starts_none() -> None:
    driver = Driver(workflow(fan(group("u", *hooked(step("a"))), *hooked_run())), behave)
    driver.tell(Start())
    driver.execute("u/a")
    driver.tell(Started(lease=driver.lease("u/clean")))
    driver.tell(Cancel(reason="", requester="me"))
    driver.tell(Cancel(reason="", requester="me", force=True))
    driver.drain()
    assert statuses(driver)["u/clean"] == "CANCELLED"
    assert statuses(driver)["last-clean"] == "SKIPPED"
    assert driver.state.status == t.CANCELLED
    driver.check_replay()


def hooked_run() -> list[d.Block]:
    return [hook("last-clean", d.PHASE_FINALLY)]


@pytest.mark.parametrize("whole_run", [True, False])
def test_hooks_on_failure_run_when_the_time_is_over(whole_run: bool) -> None:
    body = hooked(step("a"))
    definition = workflow(fan(*body) if whole_run else fan(group("u", *body, timeout_ms=1_000)))
    if whole_run:
        definition.timeout_ms = 1_000
    place = "" if whole_run else "u"
    prefix = "" if whole_run else "u/"
    driver = Driver(definition, behave)
    driver.tell(Start())
    driver.tell(Started(lease=driver.lease(f"{prefix}a")))
    driver.let_time_pass(Timer.TIMEOUT, place)
    driver.drain()
    assert statuses(driver) == {
        f"{prefix}a": "CANCELLED",
        f"{prefix}rescue": "SUCCEEDED",
        f"{prefix}clean": "SUCCEEDED",
    }
    assert how(driver, f"{prefix}rescue") == "TIMED_OUT"
    assert driver.state.status == (t.TIMED_OUT if whole_run else t.FAILED)
    assert whole_run or driver.state.blocks["u"].status == t.TIMED_OUT
    driver.check_replay()
    driver.take_over()


def test_hooks_wait_for_the_end_of_a_pause() -> None:
    driver = Driver(workflow(fan(*hooked(step("a")))), behave)
    driver.tell(Start())
    driver.tell(Started(lease=driver.lease("a")))
    driver.tell(Pause(reason="", requester="me"))
    driver.execute("a")
    assert "clean" not in driver.requested
    driver.take_over()
    driver.tell(Resume(reason="", requester="me"))
    driver.requested = ["clean"]
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


def test_a_cancel_of_a_paused_run_runs_its_finally() -> None:
    driver = Driver(workflow(fan(*hooked(step("a")))), behave)
    driver.tell(Start())
    driver.tell(Pause(reason="", requester="me"))
    driver.requested.clear()
    decided = driver.tell(Cancel(reason="", requester="me"))
    assert RequestStep(path="clean") in decided.actions
    driver.drain()
    assert driver.state.status == t.CANCELLED
    assert statuses(driver)["clean"] == "SUCCEEDED"


def test_a_retry_of_the_body_runs_its_hooks_again() -> None:
    left = [1]

    def once(state):  # type: ignore[no-untyped-def]
        return failure() if state.block.name == "a" and left and left.pop() else {"out": 1}

    driver = Driver(workflow(fan(group("u", *hooked(step("a"))))), once)
    driver.run()
    assert statuses(driver)["u/rescue"] == "SUCCEEDED"
    driver.tell(Retry(path="", reason="", requester="me"))
    driver.drain()
    assert statuses(driver) == {"u/a": "SUCCEEDED", "u/rescue": "SKIPPED", "u/clean": "SUCCEEDED"}
    assert how(driver, "u/clean") == "SUCCEEDED"
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


def test_a_restart_of_a_hook_runs_nothing_of_the_body_again() -> None:
    ran: list[str] = []

    def noting(state):  # type: ignore[no-untyped-def]
        ran.append(state.path)
        return {"out": 1}

    driver = Driver(workflow(fan(group("u", *hooked(step("a"))))), noting)
    driver.run()
    ran.clear()
    driver.tell(Restart(path="u/clean", reason="", requester="me"))
    driver.drain()
    assert ran == ["u/clean"]
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


def test_a_hook_whose_turn_has_not_come_cannot_be_restarted() -> None:
    driver = Driver(workflow(fan(*hooked(step("a")))), behave)
    driver.tell(Start())
    decided = driver.tell(Restart(path="clean", reason="", requester="me"))
    assert [e.command_refused.problem for e in decided.events] == ["it has not begun"]


def test_a_group_gives_its_inner_outputs_to_those_behind_it() -> None:
    driver = played(chain(group("u", step("a")), step("b", x=output("a"))))
    assert driver.state.steps["b"].inputs == {"x": '"a"'}
