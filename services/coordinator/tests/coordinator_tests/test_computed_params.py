"""Defaults that are computed when a run is submitted."""

from __future__ import annotations

import pytest

from kaon_coordinator import params
from kaon_coordinator.engine.state.run_info import run_info
from kaon_coordinator.problems import InvalidRequest
from kaon_wire.definitions.validate import validate
from kaonapi.run.v1 import run_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

RUN = run_info(
    run_id="r1",
    workflow="w",
    version="v",
    tenant="t",
    submit_us=1_767_225_600_000_000,
    origin="schedule:nightly",
    scheduled_us=1_767_225_600_000_000,
    previous=run_pb2.PreviousRun(run_id="r0", end_time_us=1_767_225_599_000_000),
)


def of(name: str) -> d.Binding:
    return d.Binding(parameter=name)


def computed(cel: str, **variables: d.Binding) -> d.Binding:
    return d.Binding(expression=d.Expression(cel=cel, variables=variables))


def definition(*parameters: d.Parameter) -> d.WorkflowDefinition:
    step = d.Block(name="s", step=d.Step(type="python"))
    return d.WorkflowDefinition(name="w", parameters=parameters, body=d.Graph(blocks=[step]))


INFO = d.Binding(run_info=d.RunInfo())
WINDOW = definition(
    d.Parameter(
        name="end",
        type=d.VALUE_TYPE_DATETIME,
        computed=computed("start + duration('1d')", start=of("start")),
        constraint_cel="value < timestamp('2030-01-01')",
    ),
    d.Parameter(name="name", type=d.VALUE_TYPE_STRING, computed=computed("'run ' + i.id", i=INFO)),
    d.Parameter(
        name="pair",
        type=d.VALUE_TYPE_LIST,
        computed=d.Binding(list=d.BindingList(bindings=[of("start"), of("end")])),
    ),
    d.Parameter(
        name="since",
        type=d.VALUE_TYPE_DATETIME,
        computed=computed("i.previous_success.end_time", i=INFO),
    ),
    d.Parameter(
        name="start",
        type=d.VALUE_TYPE_DATETIME,
        computed=computed("i.scheduled_time", i=INFO),
    ),
)


def test_defaults_are_computed_from_other_parameters_and_the_run() -> None:
    assert validate(WINDOW) == []
    assert params.complete(WINDOW, {}, run=RUN) == {
        "end": '"2026-01-02T00:00:00Z"',
        "name": '"run r1"',
        "pair": '["2026-01-01T00:00:00Z","2026-01-02T00:00:00Z"]',
        "since": '"2025-12-31T23:59:59.000000Z"',
        "start": '"2026-01-01T00:00:00Z"',
    }


def test_what_is_given_is_not_computed_and_others_follow_it() -> None:
    values = params.complete(WINDOW, {"start": '"2026-03-01T00:00:00Z"', "name": '"n"'}, run=RUN)
    assert (values["end"], values["name"]) == ('"2026-03-02T00:00:00Z"', '"n"')


@pytest.mark.parametrize(
    ("start", "problem"),
    [
        ('"2029-12-31T12:00:00Z"', "does not fulfil"),
        ('"9999-12-31T12:00:00Z"', "the default of parameter 'end'"),
    ],
)
def test_a_computed_value_is_checked_as_a_given_one(start: str, problem: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        params.complete(WINDOW, {"start": start}, run=RUN)
    assert caught.value.problems[0].field == "params_json[end]"
    assert problem in caught.value.problems[0].text


@pytest.mark.parametrize(
    ("default", "problem"),
    [
        (of("b"), "its default depends on itself: a -> b -> a"),
        (of("missing"), "no parameter 'missing'"),
        (d.Binding(item="i"), "may use other parameters"),
        (computed("duration('1h')"), "its default is duration, and it is of type datetime"),
    ],
)
def test_a_default_that_cannot_be_computed_is_not_registered(
    default: d.Binding, problem: str
) -> None:
    found = validate(
        definition(
            d.Parameter(name="a", type=d.VALUE_TYPE_DATETIME, computed=default),
            d.Parameter(name="b", type=d.VALUE_TYPE_DATETIME, computed=of("a")),
        )
    )
    assert any(problem in each for each in found), found
