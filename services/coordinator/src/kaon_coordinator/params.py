"""Parameters of a submission: checked against the workflow's declarations, completed with its defaults."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from kaon_artifacts import ArtifactError, checked_name
from kaon_coordinator import expressions
from kaon_coordinator.computed_params import Computer, computed_names
from kaon_coordinator.engine.definition.limits import DEFAULT, Limits
from kaon_coordinator.engine.state.run_info import run_info
from kaon_coordinator.problems import InvalidRequest, Problem
from kaon_wire import canonical, value_types
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d

# What schedules are checked with: no run is made.
NO_RUN: Mapping[str, object] = run_info(
    run_id="", workflow="", version="", tenant="", submit_us=0, origin="", scheduled_us=0
)


def complete(
    definition: d.WorkflowDefinition,
    given: Mapping[str, str],
    limits: Limits = DEFAULT,
    *,
    run: Mapping[str, object] = NO_RUN,
) -> dict[str, str]:
    """Return the value of every parameter as canonical JSON; `run` is what computed defaults have of the run.

    Raises:
        InvalidRequest: Parameters are unknown, missing, malformed, of another type, not among the allowed
            values, or too large together; the error names each of them.
    """
    size = sum(len(name) + len(text) for name, text in given.items())
    if size > limits.params_bytes:
        text = f"they have {size} bytes; the limit params_bytes is {limits.params_bytes}: use an artifact"
        problem = Problem(field="params_json", text=text)
        raise InvalidRequest(f"parameters of workflow {definition.name!r}", [problem])
    declared = {parameter.name: parameter for parameter in definition.parameters}
    problems = list(_unknown(declared, given))
    values: dict[str, str] = {}
    computed = computed_names(definition, given)
    for name, parameter in declared.items():
        if name in computed:
            continue
        try:
            values[name] = _value(parameter, given.get(name))
        except InvalidValue as error:
            problems.append(_problem(name, str(error)))
    if not problems:
        computer = Computer(definition, values, run, limits.cel_cost)
        for name in sorted(computed):
            try:
                values[name] = _value(declared[name], computer.value(name))
            except InvalidValue as error:
                problems.append(_problem(name, f"the default of parameter {name!r}: {error}"))
    if problems:
        raise InvalidRequest(f"parameters of workflow {definition.name!r}", problems)
    return values


def _value(parameter: d.Parameter, given: str | None) -> str:
    if given is None:
        if not parameter.HasField("default_json"):
            if parameter.optional:
                return "null"
            raise InvalidValue(f"parameter {parameter.name!r} is missing: it has no default")
        return _as_declared(parameter, canonical.loads(parameter.default_json))
    try:
        value = canonical.loads(canonical.strict(given))
    except InvalidValue as error:
        raise InvalidValue(f"parameter {parameter.name!r} is {error}") from error
    _check_type(parameter, value)
    text = _as_declared(parameter, value)
    _check_choice(parameter, canonical.loads(text), text)
    return text


def _as_declared(parameter: d.Parameter, value: Any) -> str:
    return canonical.dumps(value_types.declared(value, parameter))


def _check_type(parameter: d.Parameter, value: Any) -> None:
    if problem := value_types.fault(value, parameter):
        raise InvalidValue(f"parameter {parameter.name!r} {problem}")
    if value is not None and value_types.is_artifact(parameter.type):
        _check_name(parameter, value)


def _check_name(parameter: d.Parameter, value: Any) -> None:
    try:
        checked_name(value["artifact"].get("name", ""))
    except ArtifactError as error:
        raise InvalidValue(
            f"parameter {parameter.name!r} is an artifact whose name {error}"
        ) from error


def _check_choice(parameter: d.Parameter, value: Any, text: str) -> None:
    if problem := value_types.choice_fault(value, parameter):
        raise InvalidValue(f"parameter {parameter.name!r} {problem}")
    if not parameter.constraint_cel or (value is None and parameter.optional):
        return
    native = value_types.native(value, parameter)
    try:
        holds = expressions.evaluate(parameter.constraint_cel, {"value": native})
    except expressions.ExpressionError as error:
        raise InvalidValue(f"parameter {parameter.name!r}: {error}") from error
    if holds is not True:
        problem = f"{value_types.shown(text)} does not fulfil {parameter.constraint_cel!r}"
        raise InvalidValue(f"parameter {parameter.name!r}: {problem}")


def _unknown(declared: Mapping[str, d.Parameter], given: Mapping[str, str]) -> Iterator[Problem]:
    for name in sorted(set(given) - set(declared)):
        close = difflib.get_close_matches(name, declared, n=1)
        if close:
            hint = f"did you mean {close[0]!r}?"
        elif declared:
            hint = f"there are {', '.join(sorted(declared))}"
        else:
            hint = "the workflow has none"
        yield _problem(name, f"there is no parameter {name!r}: {hint}")


def _problem(name: str, text: str) -> Problem:
    return Problem(field=f"params_json[{name}]", text=text)
