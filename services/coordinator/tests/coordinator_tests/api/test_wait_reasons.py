"""Why a step does not run, up the graph of its run."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kaon_coordinator.api.wait_reasons import AskMatcher, WaitReasons
from kaon_coordinator.engine.actions import Timer
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.messages import Failed, PermitsGranted, Retry, Start, Started
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState, StepState
from kaon_coordinator.store.records import PermitRecord
from kaon_wire.errors import NotFound
from kaonapi.runner.v1 import runner_pb2 as r
from kaonapi.workflow.v1 import definition_pb2 as d

from ..engine.build import chain, fan, for_each, literal, output, repeat, step, workflow
from ..engine.driver import Driver, failure


def nothing(_: StepState) -> Mapping[str, object]:
    return {"out": 1}


def begun(*blocks: d.Block, **changes: object) -> Driver:
    """A run of these blocks one after the other, begun: its first step is READY."""
    definition = workflow(chain(*blocks))
    definition.MergeFrom(d.WorkflowDefinition(**changes))  # type: ignore[arg-type]
    driver = Driver(definition, nothing)
    driver.tell(Start())
    return driver


def links(
    state: RunState,
    path: str,
    permits: Mapping[str, PermitRecord] | None = None,
    now_us: int = 2_000_000,
) -> list[tuple[r.WaitCause.ValueType, str] | AskMatcher]:
    """The chain, each link by its cause and its path."""
    _, found = WaitReasons(state, permits or {}, now_us).of(path)
    return [link if isinstance(link, AskMatcher) else (link.cause, link.path) for link in found]


def words(state: RunState, path: str) -> str:
    """The chain in words."""
    _, found = WaitReasons(state, {}, 2_000_000).of(path)
    return " ".join(link.text for link in found if not isinstance(link, AskMatcher))


def test_a_step_waits_for_the_step_before_it_which_waits_for_a_runner() -> None:
    driver = begun(step("a"), step("b"), step("c"))

    assert links(driver.state, "c") == [
        (r.WAIT_CAUSE_WAITS_FOR, "c"),
        (r.WAIT_CAUSE_WAITS_FOR, "b"),
        AskMatcher(run_id="r1", path="a", pool=""),
    ]
    assert words(driver.state, "c") == "c waits for b. b waits for a."


def test_a_step_with_a_start_condition_says_what_it_waits_for() -> None:
    after = step("b")
    after.trigger = d.TRIGGER_RULE_CONDITION
    end = d.BlockEnd(block="a", kind=d.BLOCK_END_KIND_FAILED)
    after.start.any.conditions.add(end=end)
    after.start.any.conditions.add(end=d.BlockEnd(block="a", kind=d.BLOCK_END_KIND_SKIPPED))
    driver = begun(step("a"), after)
    assert words(driver.state, "b").startswith(
        "b, which starts when a failed or a skipped, waits for a"
    )


def test_a_step_that_runs_is_the_end_of_the_chain() -> None:
    driver = begun(step("a"), step("b"))
    driver.tell(Started(lease=driver.lease("a", "host-1")))

    assert links(driver.state, "b") == [(r.WAIT_CAUSE_WAITS_FOR, "b"), (r.WAIT_CAUSE_RUNNING, "a")]
    assert "a runs at host-1 (attempt 1), for 1.0 s now." in words(driver.state, "b")


def test_of_a_running_step_with_an_environment_the_matcher_is_asked_whether_that_is_built() -> None:
    block = step("a")
    block.step.requirements_file = "needs.txt"
    driver = begun(block)
    driver.tell(Started(lease=driver.lease("a", "host-1")))

    (asked,) = links(driver.state, "a")
    assert isinstance(asked, AskMatcher)
    assert asked.unless_built is not None
    assert asked.unless_built.cause == r.WAIT_CAUSE_RUNNING
    assert asked.unless_built.text.startswith("a runs at host-1")


def test_what_has_ended_says_how() -> None:
    driver = begun(step("a"), step("b"))
    driver.execute(driver.take())

    assert links(driver.state, "a") == [(r.WAIT_CAUSE_ENDED, "a")]
    assert words(driver.state, "a") == "a has ended SUCCEEDED."


def test_a_step_between_two_attempts_says_when_the_next_begins() -> None:
    driver = begun(step("a", attempts=2), step("b"))
    driver.tell(Started(lease=driver.lease("a")))
    driver.tell(Failed(lease=driver.lease("a"), error=failure("no disk")))

    assert links(driver.state, "b") == [(r.WAIT_CAUSE_WAITS_FOR, "b"), (r.WAIT_CAUSE_RETRY, "a")]
    assert (
        "Attempt 1 of a failed (Test: no disk); the next one begins at 1970-01-01 00:00:0"
        in words(driver.state, "b")
    )


def test_a_gate_says_who_may_answer_it() -> None:
    gate = d.Block(name="ok", gate=d.Gate(approval=d.Approval(roles=["lead"], message="Ship it?")))
    driver = begun(gate, step("b"))

    _, found = WaitReasons(driver.state, {}, 2_000_000).of("b")
    reason = found[-1]

    assert isinstance(reason, r.WaitReason)
    assert (reason.cause, reason.path, reason.gate) == (r.WAIT_CAUSE_GATE, "ok", "approval")
    assert list(reason.roles) == ["lead"]
    assert reason.text == "ok waits for an approval by role lead (Ship it?)."


def test_a_run_that_has_not_begun_holds_up_everything() -> None:
    state = Driver(workflow(chain(step("a"))), nothing).state

    assert links(state, "a") == [(r.WAIT_CAUSE_NOT_BEGUN, "a"), (r.WAIT_CAUSE_RUN_PENDING, "")]


def test_a_run_that_was_opened_again_says_that_it_waits_for_its_permit() -> None:
    driver = begun(step("a"), max_active_runs=1)
    driver.tell(PermitsGranted(path="", asked=driver.question("")))
    driver.tell(Started(lease=driver.lease("a")))
    driver.tell(Failed(lease=driver.lease("a"), error=failure()))
    driver.tell(Retry(path="", reason="", requester="me"))

    assert links(driver.state, "a") == [(r.WAIT_CAUSE_RUN_PENDING, "")]
    assert words(driver.state, "a") == (
        "The run r1 was reopened and waits for its permit: at most 1 run of test may be active at once."
    )


def test_a_paused_run_starts_nothing() -> None:
    driver = begun(step("a"), step("b"))
    driver.state.status = t.PAUSED

    assert links(driver.state, "a") == [(r.WAIT_CAUSE_PAUSED, "")]


def test_a_cell_waits_for_others_when_its_foreach_runs_as_many_as_it_may() -> None:
    driver = begun(for_each("each", literal(["x", "y"]), chain(step("a")), at_once=1))

    _, found = WaitReasons(driver.state, {}, 2_000_000).of("each[y]/a")

    reason = found[0]
    assert isinstance(reason, r.WaitReason)
    assert (reason.cause, reason.path, reason.permits) == (r.WAIT_CAUSE_MAX_CONCURRENCY, "each", 1)
    assert found[-1] == AskMatcher(run_id="r1", path="each[x]/a", pool="")


def test_a_cell_waits_for_runners_when_many_steps_of_its_foreach_do() -> None:
    driver = Driver(
        workflow(chain(for_each("each", literal(["x", "y"]), chain(step("a"))))), nothing
    )
    driver.limits = Limits(waiting_steps=1)
    driver.tell(Start())

    _, found = WaitReasons(driver.state, {}, 2_000_000).of("each[y]/a")

    reason = found[0]
    assert isinstance(reason, r.WaitReason)
    assert (reason.cause, reason.path) == (r.WAIT_CAUSE_NOT_BEGUN, "each")
    assert reason.text == (
        "each[y]/a has not begun: each starts further cells as runners take the 1 step of it that are READY."
    )
    assert found[-1] == AskMatcher(run_id="r1", path="each[x]/a", pool="")


def test_a_step_after_a_foreach_waits_for_its_cells() -> None:
    driver = begun(for_each("each", literal(["x", "y"]), chain(step("a"))), step("b"))
    driver.execute("each[x]/a")

    assert links(driver.state, "b") == [
        (r.WAIT_CAUSE_WAITS_FOR, "b"),
        (r.WAIT_CAUSE_WAITS_FOR, "each"),
        AskMatcher(run_id="r1", path="each[y]/a", pool=""),
    ]
    assert "each runs (1 of 2 cells ended), and waits for each[y]/a." in words(driver.state, "b")


def test_a_step_inside_of_a_block_that_has_not_begun_waits_for_what_is_before_the_block() -> None:
    driver = begun(step("a"), repeat("again", chain(step("b")), output("b")))

    assert links(driver.state, "again#1/b") == [
        (r.WAIT_CAUSE_NOT_BEGUN, "again#1/b"),
        (r.WAIT_CAUSE_WAITS_FOR, "again"),
        AskMatcher(run_id="r1", path="a", pool=""),
    ]


def test_a_name_alone_means_the_first_instance_that_has_not_ended() -> None:
    driver = begun(for_each("each", literal(["x", "y"]), chain(step("a"))))
    driver.execute("each[x]/a")

    assert links(driver.state, "a") == [AskMatcher(run_id="r1", path="each[y]/a", pool="")]


def test_a_hook_waits_until_everything_else_has_settled() -> None:
    hook = step("clean")
    hook.phase = d.PHASE_FINALLY
    driver = Driver(workflow(fan(step("a"), hook)), nothing)
    driver.tell(Start())

    assert links(driver.state, "clean") == [
        (r.WAIT_CAUSE_PHASE, "clean"),
        AskMatcher(run_id="r1", path="a", pool=""),
    ]


def test_a_step_whose_tag_has_no_permit_left_says_so_with_numbers() -> None:
    tagged = step("b")
    tagged.step.tags.extend(["db", "free"])
    driver = begun(step("a"), tagged)
    driver.execute(driver.take())
    permits = {"tag:db": PermitRecord(key="tag:db", bound=2, taken=2)}

    _, found = WaitReasons(driver.state, permits, 2_000_000).of("b")

    reason = found[0]
    assert isinstance(reason, r.WaitReason)
    assert (reason.cause, list(reason.tags), reason.permits) == (r.WAIT_CAUSE_PERMITS, ["db"], 2)
    assert reason.text == "b waits for permits: db (2 of 2 taken)."


@pytest.mark.parametrize("path", ["nobody", "each[x]/nobody", "a/a"])
def test_a_step_that_the_workflow_does_not_have_is_not_found(path: str) -> None:
    driver = begun(for_each("each", literal(["x"]), chain(step("a"))))

    with pytest.raises(NotFound, match="has no step"):
        WaitReasons(driver.state, {}, 0).of(path)


def test_a_sub_workflow_waits_for_its_run_which_says_what_it_waits_for_itself() -> None:
    child = Driver(workflow(chain(step("a"), step("b"))), nothing)
    child.tell(Start())

    assert WaitReasons(child.state, {}, 2_000_000).of_run() == [
        AskMatcher(run_id="r1", path="a", pool=""),
        *WaitReasons(child.state, {}, 2_000_000).of("b")[1][:1],
    ]


def test_a_run_that_has_failed_names_the_step_that_ended_it() -> None:
    driver = begun(for_each("regions", literal(["US", "DE"]), chain(step("a"))))
    first, second = "regions[US]/a", "regions[DE]/a"
    driver.tell(Started(lease=driver.lease(first)))
    driver.tell(Started(lease=driver.lease(second)))
    driver.tell(Failed(lease=driver.lease(second), error=failure("no disk")))
    driver.tell(Failed(lease=driver.lease(first), error=failure("asked to stop")))

    (reason,) = WaitReasons(driver.state, {}, 2_000_000).of_run()

    assert driver.state.status == t.FAILED
    assert (reason.cause, reason.path) == (r.WAIT_CAUSE_ENDED, second)
    assert reason.text == f"{second} has ended FAILED: Test: no disk."


def test_a_run_that_failed_by_itself_says_how() -> None:
    driver = begun(step("a"), timeout_ms=5_000)
    driver.let_time_pass(Timer.TIMEOUT)

    (reason,) = WaitReasons(driver.state, {}, 2_000_000).of_run()

    assert (reason.cause, reason.path) == (r.WAIT_CAUSE_ENDED, "")
    assert reason.text.startswith("The run has ended TIMED_OUT: ")
