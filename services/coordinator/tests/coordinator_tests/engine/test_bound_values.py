"""What steps receive: values in place of skipped ones, maps, and values from the way of a branch that ran."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kaon_coordinator import expressions
from kaon_coordinator.engine.actions import Timer
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import StepState
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


def timed() -> d.WorkflowDefinition:
    """A step that gets times and durations of parameters, of an item and of another step's output."""
    parameter = d.Binding(parameter="at")
    cells = for_each(
        "f",
        d.Binding(parameter="days"),
        chain(step("c", day=computed("string(day + wait)", day=d.Binding(item="item"), wait=WAIT))),
    )
    first = step("first")
    first.step.outputs["when"] = d.VALUE_TYPE_DATETIME
    end = step(
        "end",
        at=parameter,
        later=computed("at + wait", at=parameter, wait=WAIT),
        between=computed("when - at", when=output("first", "when"), at=parameter),
        none=computed("limit == null", limit=d.Binding(parameter="limit")),
    )
    timer = d.Block(name="pause", gate=d.Gate(timer=d.TimerGate(after_ms=WAIT)))
    result = workflow(chain(first, cells, timer, end))
    result.parameters.extend(
        [
            d.Parameter(name="at", type=d.VALUE_TYPE_DATETIME),
            d.Parameter(
                name="days", type=d.VALUE_TYPE_LIST, of=d.Shape(type=d.VALUE_TYPE_DATETIME)
            ),
            d.Parameter(name="limit", type=d.VALUE_TYPE_INT, optional=True),
            d.Parameter(name="wait", type=d.VALUE_TYPE_DURATION),
        ]
    )
    return result


def told(when: str) -> Callable[[StepState], dict[str, object]]:
    """Give a time as an output of the first step."""
    return lambda issue: {"out": 1, "when": when} if issue.path == "first" else {"out": 1}


WAIT = d.Binding(parameter="wait")
PARAMS = {
    "at": "2026-11-24T06:00:00+01:00",
    "days": ["2026-11-24T00:00:00Z"],
    "limit": None,
    "wait": "1h30m",
}


def ended(when: str) -> Driver:
    driver = Driver(timed(), told(when), params=PARAMS, evaluate=expressions.evaluate)
    driver.run()
    began_us = driver.now_us
    driver.let_time_pass(Timer.GATE, "pause")
    assert driver.now_us // 1_000_000 == began_us // 1_000_000 + 5_400
    driver.drain()
    return driver


def test_expressions_have_times_and_durations_as_such() -> None:
    driver = ended("2026-11-24T06:00:00Z")
    assert driver.state.status == t.SUCCEEDED
    cell = driver.state.steps["f[2026-11-24T00:00:00Z]/c"]
    assert cell.inputs == {"day": '"2026-11-24T01:30:00Z"'}
    assert driver.state.steps["end"].inputs == {
        "at": '"2026-11-24T06:00:00+01:00"',
        "later": '"2026-11-24T07:30:00+01:00"',
        "between": '"3600s"',
        "none": "true",
    }
    driver.check_replay()


def test_a_text_that_is_no_time_fails_the_step_that_computes_with_it() -> None:
    error = ended("yesterday").state.steps["end"].error
    assert error is not None
    assert "is no time such as" in error.message
