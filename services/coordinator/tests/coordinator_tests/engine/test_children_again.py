"""A parent that is retried goes on with the runs of its sub-workflow blocks: what has succeeded in them does not run again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kaon_coordinator.engine.actions import Continue, PrepareChild, Timer
from kaon_coordinator.engine.commands.fork import fork_state
from kaon_coordinator.engine.decision import Context
from kaon_coordinator.engine.faulted_runs import end_barely, end_faulted
from kaon_coordinator.engine.messages import (
    Cancel,
    ChildEnded,
    Continued,
    Mark,
    Pause,
    Restart,
    Resume,
    Retry,
    SetPriority,
)
from kaon_coordinator.engine.rows.resume import derive
from kaon_coordinator.engine.state import transitions as t
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, fan, for_each, literal, output, step, workflow
from .driver import Driver, no_expressions
from .family import Family, child_block

BY = {"reason": "because", "requester": "me"}
RETRY = Retry(path="", **BY)


def gives(body: d.Graph, of: d.Binding) -> d.WorkflowDefinition:
    definition = workflow(body)
    definition.outputs["result"].type = d.VALUE_TYPE_ANY
    definition.outputs["result"].value.CopyFrom(of)
    return definition


CHILD = gives(chain(step("a"), step("b")), output("b"))


def family(
    *blocks: d.Block, fails: Sequence[str] = "", waits: str = "", **more: d.WorkflowDefinition
) -> Family:
    """A played family, by default of one child; the steps named fail, or do not end, until something else is said."""
    result = Family(workflow(chain(*(blocks or (child_block(),)))), {"child": CHILD, **more})
    result.fails, result.waits = set(fails), set(waits)
    result.play()
    return result


def again(family: Family, message: Retry | Restart = RETRY) -> None:
    """Everything succeeds from now on, and the root is told to run again."""
    family.fails, family.waits = set(), set()
    family.root.tell(message)
    family.play()


def refusals(driver: Driver) -> list[str]:
    return [e.command_refused.problem for e in driver.history if e.HasField("command_refused")]


def of_child(*paths: str, run_id: str = "c1") -> list[tuple[str, str]]:
    return [(run_id, path) for path in paths]


# --- what goes on ---------------------------------------------------------------------------------------------------


def test_a_retried_parent_goes_on_with_its_failed_child() -> None:
    played = family(fails="b")
    assert played.status("r1") == "FAILED"
    again(played)
    assert (played.status("r1"), played.status("c1")) == ("SUCCEEDED", "SUCCEEDED")
    assert played.executed == of_child("a", "b", "b")
    assert set(played.runs) == {"r1", "c1"}
    (first, second) = [
        e.child_run_started for e in played.root.history if e.HasField("child_run_started")
    ]
    assert (first.continued, second.continued, second.child_run_id) == (False, True, "c1")


def test_a_parent_may_be_retried_many_times() -> None:
    played = family(fails="b")
    for _ in range(3):
        played.root.tell(RETRY)
        played.play()
        assert played.status("r1") == "FAILED"
    again(played)
    assert played.status("r1") == "SUCCEEDED"
    assert played.executed == of_child("a", "b", "b", "b", "b", "b")


def test_a_retried_parent_goes_on_with_its_cancelled_child() -> None:
    played = family(waits="b")
    played.root.tell(Cancel(**BY))
    played.play()
    assert (played.status("r1"), played.status("c1")) == ("CANCELLED", "CANCELLED")
    again(played)
    assert played.status("r1") == "SUCCEEDED"
    assert played.executed == of_child("a", "b")


def test_a_retried_parent_goes_on_with_the_child_of_a_block_whose_time_was_over() -> None:
    played = family(child_block(timeout_ms=60_000), waits="b")
    played.root.let_time_pass(Timer.TIMEOUT, "w")
    played.play()
    assert played.root.state.blocks["w"].status == t.TIMED_OUT
    again(played)
    assert played.status("r1") == "SUCCEEDED"
    assert played.executed == of_child("a", "b")


def test_a_retry_reaches_the_child_of_a_child() -> None:
    middle = gives(chain(step("m"), child_block("inner")), output("inner", "result"))
    played = family(child_block(workflow="middle"), fails="b", middle=middle)
    assert played.status("r1") == "FAILED"
    again(played)
    assert played.status("r1") == "SUCCEEDED"
    assert played.executed == [("c1", "m"), *of_child("a", "b", "b", run_id="c2")]
    assert set(played.runs) == {"r1", "c1", "c2"}


def test_of_a_foreach_of_children_only_those_that_failed_go_on() -> None:
    played = family(
        for_each("each", literal([1, 2, 3]), fan(child_block()), tolerate=3), fails=("c2/b",)
    )
    assert [played.status(f"c{n}") for n in (1, 2, 3)] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    before = len(played.executed)
    again(played)
    assert played.status("c2") == "SUCCEEDED"
    assert played.executed[before:] == of_child("b", run_id="c2")
    assert set(played.runs) == {"r1", "c1", "c2", "c3"}


def test_a_child_goes_on_with_the_priority_that_its_parent_has_by_then() -> None:
    played = family(child_block(), step("after"), fails="b")
    played.root.tell(RETRY)
    played.root.tell(SetPriority(priority=7, requester="me"))
    played.play()
    assert played.runs["c1"].state.priority == 7


def test_the_next_owner_still_knows_which_run_is_to_go_on() -> None:
    played = family(fails="b")
    played.fails = set()
    played.root.tell(RETRY)
    assert [question.continues for question in played.root.asked(PrepareChild)] == ["c1"]
    # Before the answer: the next owner asks once more, and the one after a pause does.
    for then in (Continued(path="w"), Pause(**BY), Resume(**BY)):
        played.root.take_over()
        assert derive(played.root.state) == (
            [] if isinstance(then, Resume) else [Continue(path="w")]
        )
        played.root.tell(then)
    played.play()
    assert played.status("r1") == "SUCCEEDED"
    assert played.executed == of_child("a", "b", "b")


def test_a_retry_that_was_stopped_before_the_child_went_on_leaves_it_to_the_next_one() -> None:
    played = family(fails="b")
    played.root.tell(RETRY)
    played.root.tell(Cancel(**BY))
    played.play()
    assert played.status("r1") == "CANCELLED"
    again(played)
    assert played.status("r1") == "SUCCEEDED"
    assert played.executed == of_child("a", "b", "b")


def test_a_parent_that_is_cancelled_again_stops_the_child_that_went_on() -> None:
    played = family(fails="b")
    played.fails, played.waits = set(), {"b"}
    played.root.tell(RETRY)
    played.play()
    played.root.tell(Cancel(**BY))
    played.play()
    assert (played.status("r1"), played.status("c1")) == ("CANCELLED", "CANCELLED")
    again(played)
    assert played.status("r1") == "SUCCEEDED"


# --- what gets a new run --------------------------------------------------------------------------------------------


def test_a_child_that_cannot_go_on_is_replaced_by_a_new_run() -> None:
    played = family(fails="b")
    played.gone = {"c1"}
    again(played)
    assert played.status("r1") == "SUCCEEDED"
    assert played.executed == [*of_child("a", "b"), *of_child("a", "b", run_id="c2")]
    assert not any(e.child_run_started.continued for e in played.root.history)


def test_a_restarted_block_has_a_new_run() -> None:
    played = family(fails="b")
    again(played, Restart(path="w", **BY))
    assert played.status("r1") == "SUCCEEDED"
    assert (played.status("c1"), played.status("c2")) == ("FAILED", "SUCCEEDED")


def test_a_restart_forgets_the_run_that_a_retry_wanted_to_go_on() -> None:
    played = family(step("first"), child_block(), fails="b")
    played.root.tell(RETRY)
    again(played, Restart(path="first", **BY))
    assert played.status("c1") == "FAILED"
    assert played.status("c2") == "SUCCEEDED"


def test_a_child_that_gave_the_wrong_outputs_has_succeeded_and_does_not_go_on() -> None:
    block = child_block()
    block.sub_workflow.outputs["more"] = d.VALUE_TYPE_ANY
    played = family(block)
    assert played.status("c1") == "SUCCEEDED"
    played.root.tell(RETRY)
    (question,) = played.root.asked(PrepareChild)
    assert question.continues == ""


def test_a_block_that_was_marked_failed_has_a_new_run() -> None:
    played = family(fails="b")
    played.root.tell(Mark(path="w", status=t.FAILED, outputs={}, **BY))
    again(played)
    assert (played.status("c1"), played.status("c2")) == ("FAILED", "SUCCEEDED")


def test_a_fork_never_goes_on_with_the_children_of_its_original() -> None:
    played = family(fails="b")
    played.root.tell(RETRY)
    state = played.root.replayed()
    assert state.blocks["w"].continues == "c1"
    assert fork_state(state, "r2").blocks["w"].continues == ""


# --- what happens to the child meanwhile ------------------------------------------------------------------------------


def by_hand(played: Family, *, waits: str = "") -> None:
    """Somebody retries the child itself, and it succeeds or goes on."""
    played.fails, played.waits = set(), set(waits)
    played.runs["c1"].tell(RETRY)
    played.play()


def test_a_child_that_somebody_has_retried_meanwhile_gives_its_outputs_at_once() -> None:
    played = family(fails="b")
    by_hand(played)
    assert (played.status("c1"), played.status("r1")) == ("SUCCEEDED", "FAILED")
    again(played)
    assert played.status("r1") == "SUCCEEDED"
    assert played.root.state.blocks["w"].outputs == {"result": "1"}
    assert played.executed == of_child("a", "b", "b")
    assert refusals(played.runs["c1"])[0] == "nothing has failed there"


def test_what_a_child_has_tolerated_does_not_run_again_when_it_succeeded_meanwhile() -> None:
    lenient = gives(
        fan(for_each("each", literal([1]), fan(step("x")), tolerate=1), step("b")), output("b")
    )
    played = family(child_block(workflow="lenient"), fails="xb", lenient=lenient)
    played.fails = {"x"}
    played.runs["c1"].tell(RETRY)
    played.play()
    assert played.status("c1") == "SUCCEEDED"
    before = len(played.executed)
    again(played)
    assert played.status("r1") == "SUCCEEDED"
    assert played.executed[before:] == []


def test_a_child_that_runs_again_by_hand_is_waited_for() -> None:
    played = family(fails="b")
    by_hand(played, waits="b")
    played.root.tell(RETRY)
    played.play()
    assert (played.status("c1"), played.status("r1")) == ("RUNNING", "RUNNING")
    played.waits = set()
    played.play()
    assert played.status("r1") == "SUCCEEDED"
    assert played.executed == of_child("a", "b", "b")


def test_an_end_from_before_the_retry_does_not_count() -> None:
    played = family(fails="b")
    played.delivering = False
    # It fails once more by hand, and the word of it is still on its way when the parent is retried.
    played.runs["c1"].tell(RETRY)
    played.play()
    (_, late) = played.mail.popleft()
    assert late.child_ended.status == t.FAILED
    played.delivering, played.fails, played.waits = True, set(), {"b"}
    played.root.tell(RETRY)
    played.play()
    old = ChildEnded(
        path="w", child_run_id="c1", status=late.child_ended.status, outputs={}, asked=0
    )
    assert played.root.tell(old).events == []
    played.waits = set()
    played.play()
    assert played.status("r1") == "SUCCEEDED"


def of_an_older_owner(status: t.Status) -> ChildEnded:
    """The end of the child as owners of earlier versions tell it, who know of no retry by a parent."""
    outputs = {"result": "9"} if status == t.SUCCEEDED else {}
    return ChildEnded(path="w", child_run_id="c1", status=status, outputs=outputs)


def retried_and_running() -> Family:
    played = family(fails="b")
    played.fails, played.waits = set(), {"b"}
    played.root.tell(RETRY)
    played.play()
    assert played.root.state.blocks["w"].asked > 0
    return played


def test_a_success_counts_whether_or_not_it_knows_of_the_retry() -> None:
    played = retried_and_running()
    played.root.tell(of_an_older_owner(t.SUCCEEDED))
    assert played.status("r1") == "SUCCEEDED"


def test_a_failure_that_does_not_know_of_the_retry_has_the_child_asked_once_more_and_once_is_enough() -> (
    None
):
    played = retried_and_running()
    before = len(played.runs["c1"].history)
    played.root.tell(of_an_older_owner(t.FAILED))
    assert [action.command.WhichOneof("command") for action in played.root.actions[-1:]] == [
        "retry"
    ]
    played.play()
    assert len(played.runs["c1"].history) == before
    played.waits = set()
    played.play()
    assert played.status("r1") == "SUCCEEDED"


def test_of_a_child_that_is_to_stop_any_end_counts() -> None:
    played = retried_and_running()
    played.root.tell(Cancel(**BY))
    played.root.tell(of_an_older_owner(t.CANCELLED))
    assert played.status("r1") == "CANCELLED"


@pytest.mark.parametrize("how", [end_faulted, end_barely])
def test_a_child_that_cannot_be_retried_by_a_fault_is_no_reason_to_wait_for_ever(how) -> None:  # type: ignore[no-untyped-def]
    played = family(fails="b")
    played.delivering = False
    played.root.tell(RETRY)
    played.play()
    retry = next(command.retry for _, command in played.mail if command.HasField("retry"))
    played.mail.clear()
    child = played.runs["c1"]
    context = Context(now_us=child.now_us, evaluate=no_expressions)
    child.absorb(how(child.state, "it broke", context, retry.asked))
    played.delivering = True
    played.play()
    assert played.status("r1") == "FAILED"
