"""What steps receive: values in place of skipped ones, maps, and values from the way of a branch that ran."""

from __future__ import annotations

import pytest

from kaon_coordinator import expressions
from kaon_coordinator.engine.state import transitions as t
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import branch, chain, for_each, literal, output, step, workflow
from .driver import Driver


def with_default(name: str, default: str) -> d.Binding:
    reference = d.OutputReference(step=name, output="out", skipped_json=default)
    return d.Binding(output=reference)


def computed(cel: str, **variables: d.Binding) -> d.Binding:
    return d.Binding(expression=d.Expression(cel=cel, variables=variables))


def values(taken: bool) -> d.WorkflowDefinition:
    """A step behind a branch; a foreach over the same step's cells is in the way that runs when `taken`."""
    cells = for_each("f", literal([1, 2]), chain(step("c", x=with_default("q", "9"))))
    end = step(
        "end",
        default=with_default("y", "7"),
        plain=output("y"),
        first=computed("coalesce(y, n, 0)", y=output("y"), n=output("n")),
        both=d.Binding(
            map=d.BindingMap(bindings={"y": with_default("y", "[]"), "a": literal("ü")})
        ),
        cells=with_default("c", "8"),
    )
    ways = branch("b", literal(taken), chain(step("y"), cells), chain(step("n")))
    off = branch("never", literal(False), chain(step("q")))
    return workflow(chain(off, ways, end))


@pytest.mark.parametrize(
    ("taken", "inputs"),
    [
        (
            True,
            {
                "default": '"y"',
                "plain": '"y"',
                "first": '"y"',
                "both": '{"a":"ü","y":"y"}',
                "cells": '["c","c"]',
            },
        ),
        (
            False,
            {
                "default": "7",
                "plain": "null",
                "first": '"n"',
                "both": '{"a":"ü","y":[]}',
                "cells": "8",
            },
        ),
    ],
)
def test_a_step_gets_the_values_of_the_way_that_ran(taken: bool, inputs: dict[str, str]) -> None:
    driver = Driver(
        values(taken),
        lambda issue: {"out": issue.path.rpartition("/")[2].partition("[")[0]},
        evaluate=expressions.evaluate,
    )
    assert driver.run().status == t.SUCCEEDED
    assert dict(driver.state.steps["end"].inputs) == inputs
    for path, each in driver.state.steps.items():
        if path.startswith("b=0/f"):
            assert each.inputs["x"] == "9"
    driver.check_replay()


def test_a_cell_that_was_skipped_keeps_its_null_in_the_list() -> None:
    inner = branch("b", computed("i == 1", i=d.Binding(item="item")), chain(step("c")))
    body = chain(
        for_each("f", literal([1, 2]), chain(inner)), step("end", x=with_default("c", "8"))
    )
    driver = Driver(workflow(body), lambda _: {"out": 1}, evaluate=expressions.evaluate)
    driver.run()
    assert driver.state.steps["end"].inputs == {"x": "[1,null]"}
