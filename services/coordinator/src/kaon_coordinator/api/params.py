"""The parameters of a submission: checked against what the workflow declares, completed with its defaults."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kaon_coordinator.api.errors import InvalidRequest, Problem
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d

_CHECKS: Mapping[int, tuple[str, Callable[[Any], bool]]] = {
    d.VALUE_TYPE_STRING: ("a string", lambda value: isinstance(value, str)),
    d.VALUE_TYPE_INT: ("an integer", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    d.VALUE_TYPE_FLOAT: (
        "a number",
        lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    ),
    d.VALUE_TYPE_BOOL: ("true or false", lambda value: isinstance(value, bool)),
    d.VALUE_TYPE_LIST: ("a list", lambda value: isinstance(value, list)),
    d.VALUE_TYPE_MAP: ("an object", lambda value: isinstance(value, dict)),
    d.VALUE_TYPE_ANY: ("any JSON value", lambda value: True),
}


def complete(definition: d.WorkflowDefinition, given: Mapping[str, str]) -> dict[str, str]:
    """The value of every parameter as canonical JSON.

    Raises:
        InvalidRequest: names every parameter that is unknown, missing, not JSON or of another type.
    """
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
        return parameter.default_json
    try:
        value = canonical.loads(given)
        text = canonical.dumps(value)
    except (InvalidValue, RecursionError) as error:
        raise InvalidValue(f"parameter {parameter.name!r} is {error}") from error
    expected, holds = _CHECKS.get(parameter.type, ("an artifact", _is_artifact))
    if not holds(value):
        shown = text if len(text) <= 60 else text[:60] + "..."
        raise InvalidValue(f"parameter {parameter.name!r} must be {expected}, not {shown}")
    return text


def _is_artifact(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"artifact"}:
        return False
    artifact = value["artifact"]
    return isinstance(artifact, dict) and isinstance(artifact.get("uri"), str)


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
