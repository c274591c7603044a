"""Parameters of a submission: checked against the workflow's declarations, completed with its defaults."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

from kaon_artifacts import ArtifactError, checked_name
from kaon_coordinator import expressions
from kaon_coordinator.engine.definition.limits import DEFAULT, Limits
from kaon_coordinator.problems import InvalidRequest, Problem
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")


def _is_date(value: Any) -> bool:
    # `fromisoformat` accepts other forms of dates, too.
    if not isinstance(value, str) or not _DATE.match(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


_CHECKS: Mapping[int, tuple[str, Callable[[Any], bool]]] = {
    d.VALUE_TYPE_STRING: ("a string", lambda value: isinstance(value, str)),
    d.VALUE_TYPE_INT: (
        "an integer",
        lambda value: isinstance(value, int) and not isinstance(value, bool),
    ),
    d.VALUE_TYPE_FLOAT: (
        "a number",
        lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    ),
    d.VALUE_TYPE_BOOL: ("true or false", lambda value: isinstance(value, bool)),
    d.VALUE_TYPE_LIST: ("a list", lambda value: isinstance(value, list)),
    d.VALUE_TYPE_MAP: ("an object", lambda value: isinstance(value, dict)),
    d.VALUE_TYPE_ANY: ("any JSON value", lambda value: True),
    d.VALUE_TYPE_DATE: ('a date such as "2026-11-24"', _is_date),
}


def complete(
    definition: d.WorkflowDefinition, given: Mapping[str, str], limits: Limits = DEFAULT
) -> dict[str, str]:
    """Return the value of every parameter as canonical JSON.

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
    for name, parameter in declared.items():
        try:
            values[name] = _value(parameter, given.get(name))
        except InvalidValue as error:
            problems.append(_problem(name, str(error)))
    if problems:
        raise InvalidRequest(f"parameters of workflow {definition.name!r}", problems)
    return values


def _value(parameter: d.Parameter, given: str | None) -> str:
    if given is None:
        if not parameter.HasField("default_json"):
            raise InvalidValue(f"parameter {parameter.name!r} is missing: it has no default")
        return _as_declared(parameter, parameter.default_json)
    try:
        text = _as_declared(parameter, canonical.strict(given))
        value = canonical.loads(text)
    except InvalidValue as error:
        raise InvalidValue(f"parameter {parameter.name!r} is {error}") from error
    _check_type(parameter, value, text)
    _check_choice(parameter, value, text)
    return text


def _as_declared(parameter: d.Parameter, text: str) -> str:
    return canonical.as_float(text) if parameter.type == d.VALUE_TYPE_FLOAT else text


def _check_type(parameter: d.Parameter, value: Any, text: str) -> None:
    expected, holds = _CHECKS.get(parameter.type, ("an artifact", _is_artifact))
    if not holds(value):
        raise InvalidValue(f"parameter {parameter.name!r} must be {expected}, not {_shown(text)}")
    if holds is _is_artifact:
        _check_name(parameter, value)


def _check_name(parameter: d.Parameter, value: Any) -> None:
    try:
        checked_name(value["artifact"].get("name", ""))
    except ArtifactError as error:
        raise InvalidValue(
            f"parameter {parameter.name!r} is an artifact whose name {error}"
        ) from error


def _check_choice(parameter: d.Parameter, value: Any, text: str) -> None:
    choices = [
        _as_declared(parameter, canonical.dumps(canonical.loads(each)))
        for each in parameter.choices_json
    ]
    if choices and text not in choices:
        allowed = _shown(", ".join(choices))
        raise InvalidValue(
            f"parameter {parameter.name!r} must be one of {allowed}, not {_shown(text)}"
        )
    if not parameter.constraint_cel:
        return
    try:
        holds = expressions.evaluate(parameter.constraint_cel, {"value": value})
    except expressions.ExpressionError as error:
        raise InvalidValue(f"parameter {parameter.name!r}: {error}") from error
    if holds is not True:
        problem = f"{_shown(text)} does not fulfil {parameter.constraint_cel!r}"
        raise InvalidValue(f"parameter {parameter.name!r}: {problem}")


def _shown(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "..."


def _is_artifact(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"artifact"}:
        return False
    artifact = value["artifact"]
    if not isinstance(artifact, dict) or not isinstance(artifact.get("uri"), str):
        return False
    return isinstance(artifact.get("digest"), str) and _DIGEST.match(artifact["digest"]) is not None


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
