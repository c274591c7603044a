"""Sub-workflows that are not waited for, that get their parameters passed on, and whose outputs are remembered."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kaon_coordinator.engine import memo_keys
from kaon_coordinator.engine.actions import (
    LookUpMemo,
    PrepareChild,
    ReleasePermits,
    RememberStep,
    SubmitChild,
    TellRun,
)
from kaon_coordinator.engine.messages import (
    Cancel,
    ChildEnded,
    ChildPrepared,
    MemoFound,
    MemoMissed,
    Pause,
    PermitsGranted,
    Restart,
    Resume,
    Retry,
    Start,
)
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import StepState
from kaonapi.run.v1 import history_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, fan, for_each, literal, output, step, workflow
from .driver import Driver
from .family import Family, child_block

BY = {"reason": "because", "requester": "me"}
CHILD = workflow(chain(step("a"), step("b")))
CHILD.outputs["result"].type = d.VALUE_TYPE_ANY
CHILD.outputs["result"].value.CopyFrom(output("b"))


def works(step: StepState) -> Mapping[str, object]:
    return {"out": 1}


def detached(name: str = "w") -> d.Block:
    called = d.SubWorkflow(workflow="child", detached=True, outputs={"run_id": d.VALUE_TYPE_STRING})
    return d.Block(name=name, sub_workflow=called)


def memoized(max_age_ms: int = 0) -> d.Block:
    block = child_block()
    block.sub_workflow.memo.enabled = True
    block.sub_workflow.memo.max_age_ms = max_age_ms
    return block


def begun(*blocks: d.Block) -> Driver:
    driver = Driver(workflow(chain(*blocks)), works)
    driver.tell(Start())
    return driver


def prepare(driver: Driver, run_id: str = "c1", **params: str) -> ChildPrepared:
    message = ChildPrepared(
        path="w",
        asked=driver.question("w"),
        child_run_id=run_id,
        workflow="child",
        version="v1",
        params=params,
    )
    driver.tell(message)
    return message


def looked_up(driver: Driver) -> LookUpMemo:
    return driver.asked(LookUpMemo)[-1]


def missed(question: LookUpMemo) -> MemoMissed:
    return MemoMissed(path=question.path, asked=question.asked, key=question.key)


def found(question: LookUpMemo, **outputs: str) -> MemoFound:
    return MemoFound(
        path=question.path,
        asked=question.asked,
        key=question.key,
        outputs=outputs,
        run_id="old",
        source_path="v",
    )


# --- not waited for -------------------------------------------------------------------------------------------------


def test_a_run_that_is_not_waited_for_stands_by_itself_and_its_block_gives_its_id() -> None:
    driver = begun(detached(), step("after", x=output("w", "run_id")))
    prepare(driver)
    (submitted,) = driver.asked(SubmitChild)
    assert (submitted.detached, submitted.depth) == (True, 1)
    block = driver.state.blocks["w"]
    assert (block.status, block.outputs, block.child_run_id) == (
        t.SUCCEEDED,
        {"run_id": '"c1"'},
        "c1",
    )
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert driver.state.steps["after"].inputs == {"x": '"c1"'}
    driver.check_replay()


def test_neither_cancel_nor_failure_nor_retry_crosses_to_a_run_that_is_not_waited_for() -> None:
    driver = begun(detached(), step("after"))
    prepare(driver)
    driver.tell(ChildEnded(path="w", child_run_id="c1", status=t.FAILED, outputs={}))
    assert driver.state.status == t.RUNNING
    driver.tell(Pause(**BY))
    driver.tell(Resume(**BY))
    driver.tell(Cancel(**BY))
    assert driver.state.status == t.CANCELLED
    driver.tell(Retry(path="", **BY))
    assert driver.asked(TellRun) == []
    assert len(driver.asked(SubmitChild)) == 1


def test_a_run_that_is_not_waited_for_tells_nobody_of_its_end() -> None:
    driver = Driver(workflow(chain(step("s"))), works)
    parent = history_pb2.RunParent(depth=3)
    driver.history[0].run_submitted.parent.CopyFrom(parent)
    driver.state = driver.replayed()
    assert driver.state.depth == 3
    driver.tell(Start())
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert driver.asked(TellRun) == []


def test_a_restart_begins_another_run() -> None:
    driver = begun(detached(), step("after"))
    prepare(driver)
    driver.drain()
    driver.tell(Restart(path="w", **BY))
    assert driver.asked(PrepareChild)[-1].continues == ""
    prepare(driver, "c2")
    assert [each.child_run_id for each in driver.asked(SubmitChild)] == ["c1", "c2"]


def test_runs_that_begin_one_another_end_at_the_limit_of_nesting() -> None:
    driver = Driver(workflow(chain(detached())), works)
    driver.state.depth = 10
    driver.tell(Start())
    assert driver.state.error is not None
    assert "reaches the limit run_depth=10" in driver.state.error.message


def test_every_cell_begins_a_run_of_its_own() -> None:
    played = Family(
        workflow(chain(for_each("each", literal([1, 2]), fan(detached())))), {"child": CHILD}
    )
    played.waits = {"b"}
    played.play()
    assert played.status("r1") == "SUCCEEDED"
    assert [played.status(run) for run in ("c1", "c2")] == ["RUNNING", "RUNNING"]
    played.waits = set()
    played.play()
    assert [played.status(run) for run in ("c1", "c2")] == ["SUCCEEDED", "SUCCEEDED"]


# --- parameters that are passed on ----------------------------------------------------------------------------------


@pytest.mark.parametrize("passes", [True, False])
def test_the_parameters_of_the_run_are_passed_on_where_the_block_says_so(passes: bool) -> None:
    block = child_block()
    block.sub_workflow.pass_params = passes
    block.sub_workflow.params["day"].CopyFrom(literal("tuesday"))
    driver = Driver(workflow(chain(block)), works, params={"day": "monday", "n": 3})
    driver.tell(Start())
    (asked,) = driver.asked(PrepareChild)
    assert asked.params == {"day": '"tuesday"'}
    assert asked.passed == ({"day": '"monday"', "n": "3"} if passes else {})


# --- outputs that are remembered ------------------------------------------------------------------------------------


def test_the_outputs_of_an_equal_run_are_taken_and_no_run_begins() -> None:
    driver = begun(memoized(max_age_ms=5), step("after", x=output("w", "result")))
    prepare(driver, n="1")
    question = looked_up(driver)
    assert (question.max_age_ms, driver.state.blocks["w"].status) == (5, t.PENDING)
    driver.tell(found(question, result="7", more="1"))
    driver.drain()
    block = driver.state.blocks["w"]
    assert (block.status, block.outputs, block.memo_source, block.child_run_id) == (
        t.SUCCEEDED,
        {"result": "7"},
        ("old", "v"),
        "",
    )
    assert driver.asked(SubmitChild) == driver.asked(RememberStep) == []
    assert driver.state.steps["after"].inputs == {"x": "7"}
    driver.check_replay()


@pytest.mark.parametrize("answer", [missed, found])
def test_without_usable_outputs_the_run_begins_and_its_outputs_are_remembered(answer) -> None:  # type: ignore[no-untyped-def]
    driver = begun(memoized())
    prepare(driver)
    question = looked_up(driver)
    driver.tell(answer(question))
    (submitted,) = driver.asked(SubmitChild)
    assert submitted.child_run_id == "c1"
    driver.take_over()
    driver.tell(
        ChildEnded(path="w", child_run_id="c1", status=t.SUCCEEDED, outputs={"result": "9"})
    )
    (remembered,) = driver.asked(RememberStep)
    assert (remembered.path, remembered.key, remembered.outputs) == (
        "w",
        question.key,
        {"result": "9"},
    )
    driver.check_replay()


def _with_numbers(block: d.Block) -> d.Block:
    block.sub_workflow.outputs["result"] = d.VALUE_TYPE_LIST
    block.sub_workflow.output_contents["result"].type = d.VALUE_TYPE_FLOAT
    return block


@pytest.mark.parametrize(("result", "gives"), [("[1,2.5]", "[1.0,2.5]"), ('["x"]', "")])
def test_a_run_gives_the_contents_that_its_block_declares_or_the_block_fails(
    result: str, gives: str
) -> None:
    driver = begun(_with_numbers(memoized()))
    prepare(driver)
    # Those of an equal run that gave something else are not taken.
    driver.tell(found(looked_up(driver), result='["x"]'))
    assert [each.child_run_id for each in driver.asked(SubmitChild)] == ["c1"]
    driver.tell(
        ChildEnded(path="w", child_run_id="c1", status=t.SUCCEEDED, outputs={"result": result})
    )
    block = driver.state.blocks["w"]
    if gives:
        assert block.outputs == {"result": gives}
        assert [each.outputs for each in driver.asked(RememberStep)] == [{"result": gives}]
    else:
        assert (block.status, driver.asked(RememberStep)) == (t.FAILED, [])
        assert block.error is not None
        assert "other than it is declared, list[float]" in block.error.message
    driver.check_replay()


def test_a_failed_run_is_not_remembered_and_goes_on_at_a_retry() -> None:
    driver = begun(memoized())
    prepare(driver)
    driver.tell(missed(looked_up(driver)))
    driver.tell(ChildEnded(path="w", child_run_id="c1", status=t.FAILED, outputs={}))
    assert driver.asked(RememberStep) == []
    driver.tell(Retry(path="", **BY))
    questions = len(driver.asked(LookUpMemo))
    prepare(driver, "c1")
    assert len(driver.asked(LookUpMemo)) == questions
    block = driver.state.blocks["w"]
    driver.tell(
        ChildEnded(
            path="w",
            child_run_id="c1",
            status=t.SUCCEEDED,
            outputs={"result": "9"},
            asked=block.asked,
        )
    )
    assert [each.key for each in driver.asked(RememberStep)] == [block.memo_key]


def test_an_answer_after_a_cancel_or_from_before_a_takeover_begins_nothing() -> None:
    driver = begun(memoized())
    prepare(driver)
    question = looked_up(driver)
    driver.take_over()
    assert driver.tell(missed(question)).events == []
    driver = begun(memoized())
    prepare(driver)
    question = looked_up(driver)
    driver.tell(Cancel(**BY))
    driver.tell(missed(question))
    assert driver.asked(SubmitChild) == []


def test_the_locks_of_a_block_whose_outputs_are_taken_are_given_back() -> None:
    block = memoized()
    block.locks.add(name="zone")
    driver = begun(block)
    driver.tell(PermitsGranted(path="w", asked=driver.question("w")))
    prepare(driver)
    driver.tell(found(looked_up(driver), result="7"))
    assert ReleasePermits(path="w") in driver.actions


def test_a_memo_depends_on_version_parameters_and_salt_and_not_on_where_artifacts_lie() -> None:
    driver = begun(memoized())
    block = driver.state.blocks["w"]

    def key(version: str = "v1", salt: str = "", **params: str) -> str:
        block.block.sub_workflow.memo.salt = salt
        return memo_keys.of_run(
            block,
            ChildPrepared(
                path="w",
                asked=1,
                child_run_id="c",
                workflow="child",
                version=version,
                params=params,
            ),
        )

    file = '{"artifact":{"digest":"sha256:1","uri":"%s"}}'
    assert key(x=file % "a") == key(x=file % "b")
    assert len({key(), key("v2"), key(salt="2"), key(x="1"), key(x="2")}) == 5
