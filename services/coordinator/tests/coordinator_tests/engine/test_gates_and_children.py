"""Gates and sub-workflows."""

from __future__ import annotations

import pytest

from kaon_coordinator.engine.actions import PrepareChild, SubmitChild, TellRun, Timer
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.messages import (
    Answer,
    Cancel,
    ChildEnded,
    ChildPrepared,
    Pause,
    Resume,
    SetPriority,
    Signal,
    Start,
    Unprepared,
)
from kaon_coordinator.engine.state import transitions as t
from kaon_wire import canonical
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, fan, literal, output, step, workflow
from .driver import Driver


def works(_: object) -> dict[str, object]:
    return {"out": 1}


def begun(*blocks: d.Block) -> Driver:
    driver = Driver(workflow(chain(*blocks)), works)
    driver.tell(Start())
    return driver


def approval(*roles: str, **fields: object) -> d.Block:
    reject_fails = bool(fields.pop("reject_fails", False))
    gate = d.Gate(approval=d.Approval(roles=roles, reject_fails=reject_fails), **fields)  # type: ignore[arg-type]
    return d.Block(name="g", gate=gate)


def signal_gate(name: str = "g", **fields: object) -> d.Block:
    return d.Block(name=name, gate=d.Gate(signal=d.SignalGate(name="go"), **fields))  # type: ignore[arg-type]


def timer(**due: d.Binding) -> d.Block:
    return d.Block(name="g", gate=d.Gate(timer=d.TimerGate(**due)))


def answer(approved: bool, *roles: str) -> Answer:
    return Answer(
        path="g", approved=approved, comment="well", requester="me", roles=frozenset(roles)
    )


def outputs(driver: Driver, path: str = "g") -> dict[str, object]:
    return {
        name: canonical.loads(value) for name, value in driver.state.blocks[path].outputs.items()
    }


def refusals(driver: Driver) -> list[str]:
    return [e.command_refused.problem for e in driver.history if e.HasField("command_refused")]


def test_an_approval_lets_through_who_has_the_role_and_tells_who_it_was() -> None:
    driver = begun(approval("lead", "owner"), step("after", yes=output("g", "approved")))
    assert driver.state.blocks["g"].status == t.WAITING
    driver.tell(answer(True, "guest"))
    assert refusals(driver) == ["needs one of the roles lead, owner"]
    driver.tell(answer(True, "owner"))
    assert outputs(driver) == {"approved": True, "by": "me", "comment": "well"}
    driver.drain()
    assert driver.state.steps["after"].inputs == {"yes": "true"}
    driver.check_replay()


def test_a_rejection_is_a_result_unless_it_is_said_to_fail() -> None:
    driver = begun(approval())
    driver.tell(answer(False))
    assert driver.state.status == t.SUCCEEDED
    assert outputs(driver)["approved"] is False
    driver = begun(approval(reject_fails=True))
    driver.tell(answer(False))
    assert driver.state.status == t.FAILED
    assert driver.state.error is not None
    assert driver.state.error.message == "g: rejected by me: well"


def test_a_second_answer_is_refused() -> None:
    driver = begun(approval(), step("after"))
    driver.tell(answer(True))
    driver.tell(answer(False))
    assert refusals(driver) == ["no approval gate is waiting there"]
    assert outputs(driver)["approved"] is True


@pytest.mark.parametrize(
    ("on_timeout", "status", "approved"),
    [
        (d.GATE_TIMEOUT_UNSPECIFIED, "TIMED_OUT", None),
        (d.GATE_TIMEOUT_FAIL, "TIMED_OUT", None),
        (d.GATE_TIMEOUT_DEFAULT, "SUCCEEDED", True),
        (d.GATE_TIMEOUT_REJECT, "SUCCEEDED", False),
        (d.GATE_TIMEOUT_SKIP, "SKIPPED", None),
    ],
)
def test_an_approval_that_nobody_answers_ends_as_it_says(
    on_timeout: d.GateTimeout.ValueType, status: str, approved: bool | None
) -> None:
    driver = begun(approval(timeout_ms=1_000, on_timeout=on_timeout), step("after"))
    driver.take_over()
    driver.let_time_pass(Timer.GATE, "g")
    assert t.short(driver.state.blocks["g"].status) == status
    assert outputs(driver).get("approved") is approved
    driver.drain()
    assert driver.state.status == (t.FAILED if status == "TIMED_OUT" else t.SUCCEEDED)


def test_a_signal_that_does_not_come_gives_its_default() -> None:
    gate = signal_gate(timeout_ms=1_000, on_timeout=d.GATE_TIMEOUT_DEFAULT, default_json="[1]")
    driver = begun(gate)
    driver.let_time_pass(Timer.GATE, "g")
    assert outputs(driver) == {"payload": [1], "by": ""}


def test_a_signal_that_came_before_its_gate_is_kept_and_used_once() -> None:
    driver = begun(step("first"), signal_gate("g"), signal_gate("h"))
    driver.tell(Signal(name="go", payload_json="1", requester="early"))
    driver.take_over()
    driver.drain()
    assert outputs(driver, "g") == {"payload": 1, "by": "early"}
    assert driver.state.blocks["h"].status == t.WAITING
    driver.tell(Signal(name="go", payload_json="2", requester="late"))
    assert outputs(driver, "h") == {"payload": 2, "by": "late"}
    driver.check_replay()


def test_signals_of_one_name_are_used_in_their_order_and_gates_in_theirs() -> None:
    driver = Driver(workflow(fan(signal_gate("g"), signal_gate("h"))), works)
    for number in (1, 2):
        driver.tell(Signal(name="go", payload_json=str(number), requester="me"))
    driver.tell(Start())
    assert (outputs(driver, "g")["payload"], outputs(driver, "h")["payload"]) == (1, 2)


def test_more_signals_than_the_limit_are_refused_and_a_run_that_has_ended_takes_none() -> None:
    driver = begun(step("s"))
    driver.limits = Limits(buffered_signals=1)
    for _ in range(2):
        driver.tell(Signal(name="go", payload_json="1", requester="me"))
    driver.drain()
    driver.tell(Signal(name="go", payload_json="1", requester="me"))
    assert refusals(driver) == ["1 signals 'go' wait (buffered_signals)", "the run has ended"]


def test_a_timer_lets_through_when_its_time_has_come_and_not_before() -> None:
    driver = begun(timer(after_ms=literal(1_500)))
    assert driver.state.blocks["g"].due_us == driver.now_us + 1_500_000
    driver.let_time_pass(Timer.GATE, "g")
    assert driver.state.status == t.SUCCEEDED


def test_a_timer_of_a_time_that_has_passed_lets_through_at_once() -> None:
    assert begun(timer(at=literal("1970-01-01T00:00:00Z"))).state.status == t.SUCCEEDED


@pytest.mark.parametrize("value", ["soon", -1, True, None, [1]])
def test_a_timer_without_a_time_fails_and_shows_what_it_got(value: object) -> None:
    driver = begun(timer(after_ms=literal(value)))
    assert driver.state.error is not None
    assert f"not {canonical.dumps(value)}" in driver.state.error.message


def test_a_gate_that_is_cancelled_takes_no_answer_any_more() -> None:
    driver = begun(approval(), step("after"))
    driver.tell(Cancel(reason="", requester="me"))
    assert driver.state.status == t.CANCELLED
    driver.tell(answer(True))
    assert refusals(driver) == ["no approval gate is waiting there"]


# --- sub-workflows --------------------------------------------------------------------------------------------------


def child_block(name: str = "w") -> d.Block:
    spec = d.SubWorkflow(
        workflow="other",
        version="v7",
        params={"p": literal(5)},
        outputs={"result": d.VALUE_TYPE_ANY},
    )
    return d.Block(name=name, sub_workflow=spec)


def with_child(*after: d.Block) -> Driver:
    driver = begun(child_block(), *after)
    (asked,) = driver.asked(PrepareChild)
    assert (asked.workflow, asked.version, asked.params) == ("other", "v7", {"p": "5"})
    driver.tell(prepared(driver))
    return driver


def prepared(driver: Driver, run_id: str = "c1") -> ChildPrepared:
    return ChildPrepared(
        path="w",
        asked=driver.question("w"),
        child_run_id=run_id,
        workflow="other",
        version="v7",
        params={"p": "5"},
    )


def ended(status: t.Status, run_id: str = "c1", **given: str) -> ChildEnded:
    error = None
    if status == t.FAILED:
        error = step_pb2.StepError(message="it broke")
    return ChildEnded(path="w", child_run_id=run_id, status=status, outputs=given, error=error)


def told(driver: Driver) -> list[str]:
    return [each.command.WhichOneof("command") or "" for each in driver.asked(TellRun)]


def test_a_child_run_is_submitted_once_with_params_priority_and_depth_and_gives_its_outputs() -> (
    None
):
    driver = with_child(step("after", x=output("w", "result")))
    driver.tell(prepared(driver, "c2"))
    (submitted,) = driver.asked(SubmitChild)
    assert (submitted.child_run_id, submitted.params, submitted.depth) == ("c1", {"p": "5"}, 1)
    driver.take_over()
    driver.tell(ended(t.SUCCEEDED, result="9", more="1"))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert driver.state.steps["after"].inputs == {"x": "9"}
    driver.check_replay()


def test_the_end_of_another_child_changes_nothing() -> None:
    driver = with_child()
    assert driver.tell(ended(t.SUCCEEDED, "c0", result="9")).events == []
    driver.tell(ended(t.SUCCEEDED, result="9"))
    assert driver.tell(ended(t.FAILED)).events == []


def test_a_failed_child_fails_its_block_with_its_reason() -> None:
    driver = with_child()
    driver.tell(ended(t.FAILED))
    assert driver.state.error is not None
    assert driver.state.error.message == "w: run c1: it broke"


def test_a_child_without_a_promised_output_fails_its_block_and_names_it() -> None:
    driver = with_child()
    driver.tell(ended(t.SUCCEEDED, other="1"))
    assert driver.state.status == t.FAILED
    assert driver.state.error is not None
    assert driver.state.error.message == "w: run c1 gave no output result"


def test_a_cancel_reaches_the_child_and_waits_for_its_end() -> None:
    driver = with_child()
    driver.tell(Cancel(reason="", requester="me"))
    assert told(driver) == ["cancel"]
    assert driver.state.status == t.CANCELLING
    driver.tell(ended(t.CANCELLED))
    assert driver.state.status == t.CANCELLED


def test_a_forced_cancel_forces_the_child_too() -> None:
    driver = with_child()
    driver.tell(Cancel(reason="", requester="me"))
    driver.tell(Cancel(reason="", requester="me", force=True))
    forces = [each.command.cancel.force for each in driver.asked(TellRun)]
    assert forces[0] is False
    assert forces[-1] is True


def test_a_child_that_somebody_else_cancelled_fails_its_block() -> None:
    driver = with_child()
    driver.tell(ended(t.CANCELLED))
    assert driver.state.status == t.FAILED
    assert driver.state.error is not None
    assert "it was CANCELLED" in driver.state.error.message


def test_pause_resume_and_priority_reach_the_child() -> None:
    driver = with_child()
    driver.tell(Pause(reason="", requester="me"))
    driver.tell(Resume(reason="", requester="me"))
    driver.tell(SetPriority(priority=3, requester="me"))
    assert told(driver) == ["pause", "resume", "set_priority"]


def test_a_block_whose_time_is_over_stops_its_child_and_ends_timed_out() -> None:
    block = child_block()
    block.timeout_ms = 1_000
    driver = begun(block)
    driver.tell(prepared(driver))
    driver.let_time_pass(Timer.TIMEOUT, "w")
    assert told(driver) == ["cancel"]
    driver.tell(ended(t.CANCELLED))
    assert driver.state.blocks["w"].status == t.TIMED_OUT
    assert driver.state.status == t.FAILED


def test_a_child_that_cannot_be_prepared_fails_its_block() -> None:
    driver = begun(child_block())
    driver.tell(
        Unprepared(
            path="w",
            asked=driver.question("w"),
            kind="BindingError",
            problem="there is no workflow 'other'",
        )
    )
    assert driver.state.error is not None
    assert driver.state.error.message == "w: there is no workflow 'other'"


def test_a_child_is_not_submitted_when_its_run_was_cancelled_meanwhile() -> None:
    driver = begun(child_block())
    driver.tell(Cancel(reason="", requester="me"))
    driver.tell(prepared(driver))
    assert driver.asked(SubmitChild) == []
    assert driver.state.status == t.CANCELLED


def test_runs_are_not_nested_deeper_than_the_limit() -> None:
    driver = Driver(workflow(chain(child_block())), works)
    driver.state.depth = 10
    driver.tell(Start())
    assert driver.state.error is not None
    assert (
        "sub-workflow nesting depth 10 reaches the limit run_depth=10" in driver.state.error.message
    )


def fields() -> d.WorkflowDefinition:
    share = d.Parameter(name="share", type=d.VALUE_TYPE_FLOAT, default_json="0.5")
    day = d.Parameter(name="day", type=d.VALUE_TYPE_DATETIME, optional=True)
    gate = d.Block(name="ask", gate=d.Gate(approval=d.Approval(fields=[share, day])))
    return workflow(chain(gate, step("s", share=output("ask", "share"), day=output("ask", "day"))))


@pytest.mark.parametrize(
    ("approved", "values", "outputs"),
    [
        (True, {"day": '"2026-11-24T06:00:00Z"'}, ("0.5", '"2026-11-24T06:00:00Z"')),
        (True, {}, ("0.5", "null")),
        (False, {}, ("null", "null")),
    ],
)
def test_the_fields_of_an_approval_are_its_outputs(
    approved: bool, values: dict[str, str], outputs: tuple[str, str]
) -> None:
    driver = Driver(fields(), lambda _: {"out": 1})
    driver.run()
    driver.tell(Answer(path="ask", approved=approved, comment="", requester="ann", values=values))
    driver.drain()
    given = driver.state.blocks["ask"].outputs
    assert (given["share"], given["day"]) == outputs
    if approved:
        assert dict(driver.state.steps["s"].inputs) == {"share": outputs[0], "day": outputs[1]}
    driver.check_replay()
