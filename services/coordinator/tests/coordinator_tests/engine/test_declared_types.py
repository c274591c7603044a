"""A whole number where a float is declared is a float for everything behind it."""

from __future__ import annotations

import pytest

from kaon_coordinator import expressions, params
from kaon_coordinator.engine.messages import ChildEnded, ChildPrepared, Mark, Start
from kaon_coordinator.engine.state import transitions as t
from kaon_wire import canonical
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, output, step, workflow
from .driver import Driver


def giving_float(name: str = "a") -> d.Block:
    block = step(name)
    block.step.outputs["out"] = d.VALUE_TYPE_FLOAT
    return block


def halving() -> d.Block:
    expression = d.Expression(cel="v / 2.0", variables={"v": output("a")})
    return step("half", v=d.Binding(expression=expression))


@pytest.mark.parametrize(("given", "half"), [(1, 0.5), (-3, -1.5), (2.5, 1.25)])
def test_a_float_that_a_step_gives_as_a_whole_number_can_be_divided(
    given: float, half: float
) -> None:
    definition = workflow(chain(giving_float(), halving()))
    definition.outputs["a"].CopyFrom(d.Output(type=d.VALUE_TYPE_FLOAT, value=output("half")))
    driver = Driver(
        definition, lambda s: {"out": given if s.path == "a" else 4}, evaluate=expressions.evaluate
    )
    assert driver.run().status == t.SUCCEEDED
    assert canonical.loads(driver.state.steps["half"].inputs["v"]) == half
    assert dict(driver.state.outputs) == {"a": "4.0"}
    driver.check_replay()


def test_a_float_that_is_marked_by_hand_is_one() -> None:
    driver = Driver(workflow(chain(giving_float())), lambda _: {"out": 1})
    driver.tell(Start())
    mark = Mark(path="a", status=t.SUCCEEDED, outputs={"out": "7"}, reason="", requester="me")
    driver.tell(mark)
    assert driver.state.steps["a"].outputs == {"out": "7.0"}


def test_a_float_of_a_sub_workflow_is_one() -> None:
    spec = d.SubWorkflow(workflow="other", outputs={"out": d.VALUE_TYPE_FLOAT})
    driver = Driver(workflow(chain(d.Block(name="a", sub_workflow=spec))), lambda _: {})
    driver.tell(Start())
    prepared = ChildPrepared(
        path="a",
        asked=driver.question("a"),
        child_run_id="c",
        workflow="other",
        version="v",
        params={},
    )
    driver.tell(prepared)
    driver.tell(
        ChildEnded(path="a", child_run_id="c", status=t.SUCCEEDED, outputs={"out": "2"}, error=None)
    )
    assert driver.state.blocks["a"].outputs == {"out": "2.0"}


def test_parameters_choices_and_defaults_are_floats_too() -> None:
    definition = d.WorkflowDefinition(
        name="w",
        parameters=[
            d.Parameter(
                name="rate",
                type=d.VALUE_TYPE_FLOAT,
                choices_json=["1", "2.5"],
                constraint_cel="value / 2.0 > 0.0",
            ),
            d.Parameter(name="decay", type=d.VALUE_TYPE_FLOAT, default_json="3"),
            d.Parameter(name="count", type=d.VALUE_TYPE_INT, default_json="3"),
        ],
    )
    assert params.complete(definition, {"rate": "1"}) == {
        "rate": "1.0",
        "decay": "3.0",
        "count": "3",
    }


@pytest.mark.parametrize("text", ["1.5", "1e5", "null", '"1"', "9" * 400])
def test_what_is_no_whole_number_stays_as_it_is(text: str) -> None:
    assert canonical.as_float(text) == text
