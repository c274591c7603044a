"""Values of declared types: what is one of them, what errors say, and what expressions get."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from kaon_wire import times
from kaon_wire.cel.budget import Budget
from kaon_wire.cel.program import program
from kaon_wire.definitions.validate import validate
from kaon_wire.errors import InvalidValue
from kaon_wire.value_types import choice_fault, declared, fault, name_of, native
from kaonapi.workflow.v1 import definition_pb2 as d

TIME = d.Shape(type=d.VALUE_TYPE_DATETIME)
SPAN = d.Shape(type=d.VALUE_TYPE_DURATION)
FLOATS = d.Shape(type=d.VALUE_TYPE_MAP, of=d.Shape(type=d.VALUE_TYPE_FLOAT))
TIMES = d.Shape(type=d.VALUE_TYPE_LIST, of=TIME, optional=True)


@pytest.mark.parametrize(
    ("value", "shape", "problem"),
    [
        ("2026-11-24T06:00:00Z", TIME, ""),
        ("2026-11-24t06:00:00.25+05:30", TIME, ""),
        ("2026-11-24T06:00:00", TIME, 'write "2026-11-24T06:00:00Z" for UTC'),
        ("2026-11-24", TIME, "is no time such as"),
        ("2026-02-30T06:00:00Z", TIME, "is no time such as"),
        (1, TIME, "must be a time with its offset, not 1"),
        (None, TIME, "not null"),
        ("1h30m", SPAN, ""),
        ("-2d", SPAN, ""),
        ("5 minutes", SPAN, "is no duration such as"),
        ("9" * 30 + "d", SPAN, "longer than a duration can be"),
        (None, TIMES, ""),
        (["2026-11-24T06:00:00Z"], TIMES, ""),
        (["2026-11-24T06:00:00Z", "x"], TIMES, "[1] is wrong"),
        ({"a": 1, "b": 0.5}, FLOATS, ""),
        ({"a": True}, FLOATS, 'must be a number, not true: ["a"] is wrong'),
    ],
)
def test_a_value_is_of_its_type_or_the_error_says_where_it_is_not(
    value: Any, shape: d.Shape, problem: str
) -> None:
    found = fault(value, shape)
    assert problem in found
    assert bool(problem) == bool(found)


def test_what_stands_inside_has_choices_too() -> None:
    kinds = d.Shape(type=d.VALUE_TYPE_STRING, choices_json=['"a"', '"b"'])
    shape = d.Shape(type=d.VALUE_TYPE_LIST, of=kinds)
    assert not fault(["a", "b"], shape)
    assert fault(["a", "c"], shape) == 'must be one of "a", "b", not "c": [1] is wrong'


def test_choices_of_durations_are_equal_by_their_length() -> None:
    shape = d.Shape(type=d.VALUE_TYPE_DURATION, choices_json=['"90m"'])
    assert not choice_fault("1h30m", shape)
    assert choice_fault("1h", shape) == 'must be one of "90m", not "1h"'


def test_types_are_named_as_they_are_written() -> None:
    assert [name_of(shape) for shape in (TIME, TIMES, FLOATS)] == [
        "datetime",
        "list[datetime]?",
        "map[float]",
    ]


def test_integers_become_floats_inside_of_lists_and_maps_too() -> None:
    assert str(declared({"a": 1}, FLOATS)) == "{'a': 1.0}"


def test_expressions_compare_and_add_times_and_durations() -> None:
    variables = {
        "at": native("2026-11-24T06:00:00+01:00", TIME),
        "wait": native("1h30m", SPAN),
        "all": native(["2026-11-24T05:00:00Z"], TIMES),
    }
    assert variables["at"] == datetime(2026, 11, 24, 5, tzinfo=UTC)
    assert variables["wait"] == timedelta(minutes=90)
    value = program("[string(at + wait), at in all, wait > duration('1h')]").value(
        variables, Budget(10_000)
    )
    assert value == ["2026-11-24T07:30:00+01:00", True, True]


@pytest.mark.parametrize("read", [times.read_time, times.read_duration, times.read_date])
def test_what_cannot_be_read_is_an_invalid_value(read: Any) -> None:
    for text in ("", "x", "\u0661h", "9999-99-99T00:00:00Z", "1h" * 10_000):
        with pytest.raises(InvalidValue):
            read(text)


def test_written_times_can_be_read_again() -> None:
    for moment in (
        datetime(2026, 11, 24, 6, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))),
    ):
        assert times.read_time(times.time_text(moment)) == moment
    for span in (timedelta(days=-2, microseconds=250_000), timedelta(hours=36), timedelta()):
        assert times.read_duration(times.duration_text(span)) == span


@pytest.mark.parametrize(
    ("parameter", "problem"),
    [
        (d.Parameter(type=d.VALUE_TYPE_DATETIME, default_json='"now"'), "default must be a time"),
        (d.Parameter(type=d.VALUE_TYPE_DURATION, choices_json=["5"]), "choice must be a duration"),
        (d.Parameter(type=d.VALUE_TYPE_INT, of=TIME), "only lists and maps have values inside"),
        (
            d.Parameter(type=d.VALUE_TYPE_INT, of=TIME, default_json="1", choices_json=["1"]),
            "only lists and maps have values inside",
        ),
        (
            d.Parameter(type=d.VALUE_TYPE_LIST, of=d.Shape(optional=True)),
            "inside of it has no type",
        ),
        (
            d.Parameter(type=d.VALUE_TYPE_DATETIME, constraint_cel="value > 3"),
            "timestamp > int",
        ),
    ],
)
def test_a_registered_parameter_is_consistent(parameter: d.Parameter, problem: str) -> None:
    parameter.name = "p"
    step = d.Block(name="s", step=d.Step(type="python"))
    found = validate(
        d.WorkflowDefinition(name="w", parameters=[parameter], body=d.Graph(blocks=[step]))
    )
    assert len(found) == 1
    assert problem in found[0]


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        ({"y": d.Shape(type=d.VALUE_TYPE_INT)}, "output 'y' is not declared"),
        ({"n": d.Shape(type=d.VALUE_TYPE_INT)}, "only lists and maps have values inside"),
        ({"x": d.Shape(optional=True)}, "inside of it has no type"),
        ({"x": TIME}, "times and durations cannot stand inside of an output"),
        ({"x": d.Shape(type=d.VALUE_TYPE_FILE)}, "artifacts cannot stand inside of an output"),
        ({"x": d.Shape(type=d.VALUE_TYPE_MAP, of=d.Shape(type=d.VALUE_TYPE_INT))}, ""),
    ],
)
def test_what_stands_inside_of_outputs_is_consistent(
    contents: dict[str, d.Shape], problem: str
) -> None:
    outputs = {"x": d.VALUE_TYPE_LIST, "n": d.VALUE_TYPE_INT}
    step = d.Block(name="s", step=d.Step(type="python", outputs=outputs, output_contents=contents))
    found = validate(d.WorkflowDefinition(name="w", body=d.Graph(blocks=[step])))
    assert [problem in each for each in found] == [True] * bool(problem)


RATE = d.Parameter(name="rate", type=d.VALUE_TYPE_FLOAT)


@pytest.mark.parametrize(
    ("gate", "problem"),
    [
        (
            d.Gate(approval=d.Approval(fields=[d.Parameter(name="by", type=d.VALUE_TYPE_STRING)])),
            "every approval has an output of that name",
        ),
        (
            d.Gate(approval=d.Approval(fields=[d.Parameter(name="a", type=d.VALUE_TYPE_FILE)])),
            "it is no artifact",
        ),
        (
            d.Gate(
                approval=d.Approval(fields=[RATE]),
                timeout_ms=1,
                on_timeout=d.GATE_TIMEOUT_DEFAULT,
            ),
            "rate needs a default",
        ),
        (
            d.Gate(signal=d.SignalGate(name="go", fields=[RATE]), default_json='{"rate": "x"}'),
            "the default of field rate must be a number",
        ),
        (
            d.Gate(signal=d.SignalGate(name="go", fields=[RATE]), default_json="0"),
            "the default is an object with all fields: rate",
        ),
        (d.Gate(approval=d.Approval(fields=[RATE, RATE])), "declared twice"),
    ],
)
def test_a_registered_gate_has_fields_that_a_form_can_hold(gate: d.Gate, problem: str) -> None:
    block = d.Block(name="g", gate=gate)
    found = validate(d.WorkflowDefinition(name="w", body=d.Graph(blocks=[block])))
    assert len(found) == 1
    assert problem in found[0]
