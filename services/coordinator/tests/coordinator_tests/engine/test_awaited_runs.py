"""Gates that wait for a run of a workflow."""

from __future__ import annotations

import pytest

from kaon_coordinator.engine.actions import AwaitRun, Timer
from kaon_coordinator.engine.messages import Cancel, Restart, RunFound, RunMissing, Start
from kaon_coordinator.engine.rows.resume import derive
from kaon_coordinator.engine.state import transitions as t
from kaon_wire import canonical
from kaon_wire.definitions.validate import validate
from kaonapi.run.v1 import history_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, literal, output, step, workflow
from .driver import Driver


def gate(**fields: object) -> d.Block:
    run = d.RunGate(
        workflow="sales",
        params={"day": literal("2026-01-01")},
        outputs={"total": d.VALUE_TYPE_FLOAT},
        max_age_ms=int(str(fields.pop("max_age_ms", 0))),
        no_wait=bool(fields.pop("no_wait", False)),
    )
    if (contents := fields.pop("scores", None)) is not None:
        run.outputs["scores"] = d.VALUE_TYPE_MAP
        run.output_contents["scores"].CopyFrom(contents)  # type: ignore[arg-type]
    return d.Block(name="g", gate=d.Gate(run=run, **fields))  # type: ignore[arg-type]


def begun(**fields: object) -> Driver:
    after = step("after", total=output("g", "total"), run=output("g", "run_id"))
    driver = Driver(workflow(chain(gate(**fields), after)), lambda _: {"out": 1})
    driver.tell(Start())
    return driver


def asked(driver: Driver) -> AwaitRun:
    (action,) = driver.asked(AwaitRun)
    return action


def found(action: AwaitRun, **outputs: object) -> RunFound:
    texts = {name: canonical.dumps(value) for name, value in outputs.items()}
    return RunFound(path="g", awaited=action.awaited, run_id="r0", outputs=texts)


def test_a_gate_takes_the_outputs_of_the_run_that_it_waited_for() -> None:
    driver = begun(max_age_ms=1)
    action = asked(driver)
    assert action.waits
    assert action.awaited.workflow == "sales"
    assert dict(action.awaited.params_json) == {"day": '"2026-01-01"'}
    assert driver.now_us - action.awaited.since_us == 1_000
    assert driver.state.blocks["g"].status == t.WAITING
    driver.take_over()
    driver.tell(found(action, total=3, other="x"))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert driver.state.steps["after"].inputs == {"total": "3.0", "run": '"r0"'}
    answered = [e.gate_answered.run_id for e in driver.history if e.HasField("gate_answered")]
    assert answered == ["r0"]
    driver.check_replay()


NUMBERS = d.Shape(type=d.VALUE_TYPE_LIST, of=d.Shape(type=d.VALUE_TYPE_FLOAT))


def test_the_contents_of_an_output_are_those_that_the_gate_declares() -> None:
    driver = begun(scores=NUMBERS)
    driver.tell(found(asked(driver), total=3, scores={"eu": [1, 2.5]}))
    driver.drain()
    assert driver.state.blocks["g"].outputs["scores"] == '{"eu":[1.0,2.5]}'
    driver.check_replay()
    driver.take_over()


def test_a_run_with_other_contents_fails_the_gate() -> None:
    driver = begun(scores=NUMBERS)
    driver.tell(found(asked(driver), total=3, scores={"eu": [1, "x"]}))
    assert driver.state.status == t.FAILED
    error = driver.state.blocks["g"].error
    assert error is not None
    assert (error.type, error.message) == (
        "OutputMismatch",
        "g: run r0 gave an output scores other than it is declared, map[list[float]]: "
        'it must be a number, not "x": ["eu"][1] is wrong',
    )
    driver.check_replay()


def test_a_new_owner_asks_for_the_same_run() -> None:
    driver = begun(max_age_ms=1)
    action = asked(driver)
    driver.take_over()
    again = [each for each in derive(driver.state) if isinstance(each, AwaitRun)]
    assert again == [action]


def test_an_answer_to_another_question_does_not_count() -> None:
    driver = begun()
    action = asked(driver)
    other = history_pb2.AwaitedRun(workflow="sales", params_json={"day": '"2026-01-02"'})
    driver.tell(RunFound(path="g", awaited=other, run_id="r0", outputs={"total": "1"}))
    assert driver.state.blocks["g"].status == t.WAITING
    driver.tell(found(action, total=1))
    driver.tell(found(action, total=2))
    assert driver.state.blocks["g"].outputs["total"] == "1.0"
    driver.drain()
    driver.tell(Restart(path="g", reason="", requester="me"))
    assert driver.state.blocks["g"].status == t.WAITING
    assert asked(driver) == action
    driver.check_replay()


def test_a_run_without_a_wanted_output_fails_the_gate() -> None:
    driver = begun()
    driver.tell(found(asked(driver)))
    assert driver.state.status == t.FAILED
    error = driver.state.blocks["g"].error
    assert error is not None
    assert (error.type, error.message) == ("OutputMismatch", "g: run r0 gave no output total")


@pytest.mark.parametrize(
    ("on_timeout", "status"),
    [(d.GATE_TIMEOUT_SKIP, t.SKIPPED), (d.GATE_TIMEOUT_FAIL, t.TIMED_OUT)],
)
def test_a_run_that_does_not_come_skips_or_fails(
    on_timeout: d.GateTimeout.ValueType, status: t.Status
) -> None:
    waiting = begun(timeout_ms=5_000, on_timeout=on_timeout)
    waiting.let_time_pass(Timer.GATE, "g")
    at_once = begun(no_wait=True, on_timeout=on_timeout)
    action = asked(at_once)
    assert not action.waits
    at_once.tell(RunMissing(path="g", awaited=action.awaited))
    for driver, within in ((waiting, " within 5 s"), (at_once, "")):
        block = driver.state.blocks["g"]
        assert block.status == status
        if block.error is not None:
            text = 'g: there is no successful run of sales with day="2026-01-01"'
            assert block.error.message == text + within
        driver.check_replay()


def test_a_gate_that_is_stopped_takes_nothing() -> None:
    driver = begun()
    action = asked(driver)
    driver.tell(Cancel(reason="", requester="me"))
    driver.tell(found(action, total=1))
    assert driver.state.blocks["g"].status == t.CANCELLED
    assert driver.state.blocks["g"].awaited is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"workflow": "No"}, "no name of a workflow"),
        ({"outputs": {"run_id": d.VALUE_TYPE_STRING}}, "output of the gate itself"),
        ({"outputs": {"x": d.VALUE_TYPE_UNSPECIFIED}}, "has no type"),
        ({"params": {"p": d.Binding(parameter="none")}}, "no parameter 'none'"),
        ({"max_age_ms": -1}, "age must not be negative"),
        ({"no_wait": True}, "does not wait has no time-out"),
    ],
)
def test_what_a_gate_for_a_run_cannot_be_is_told(change: dict[str, object], problem: str) -> None:
    run = d.RunGate(**({"workflow": "sales"} | change))  # type: ignore[arg-type]
    block = d.Block(name="g", gate=d.Gate(run=run, timeout_ms=1))
    assert any(problem in each for each in validate(workflow(chain(block))))


def test_a_gate_for_a_run_has_no_default() -> None:
    block = gate(timeout_ms=1, on_timeout=d.GATE_TIMEOUT_DEFAULT)
    assert any("fails or is skipped" in each for each in validate(workflow(chain(block))))
