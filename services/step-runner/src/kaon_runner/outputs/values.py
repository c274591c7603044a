"""The types of outputs, as numbered in the protocol and named in context.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2

_PREFIX = "VALUE_TYPE_"
_FIRST_ARTIFACT = definition_pb2.VALUE_TYPE_FILE
NAMES: Mapping[int, str] = {
    number: name.removeprefix(_PREFIX).lower()
    for name, number in definition_pb2.ValueType.items()
    if number
}
# Types whose values are texts.
TEXTS = frozenset({definition_pb2.VALUE_TYPE_STRING, definition_pb2.VALUE_TYPE_DATE})
_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "bool": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "map": lambda value: isinstance(value, dict),
    "any": lambda value: True,
    "date": lambda value: isinstance(value, str) and _is_date(value),
}


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def type_name(number: int) -> str:
    """Return the name of a type, for example "dataset"; "any" for a number that this version does not know."""
    return NAMES.get(number, "any")


def is_artifact(number: int) -> bool:
    """Tell whether values of this type are files or directories stored by digest."""
    return number >= _FIRST_ARTIFACT


def declared(spec: step_pb2.StepSpec) -> dict[str, str]:
    """Return the "outputs" of context.json."""
    return {name: type_name(spec.outputs[name]) for name in sorted(spec.outputs)}


def matches(value: Any, name: str) -> bool:
    """Tell whether a JSON value is of the type with this name."""
    check = _CHECKS.get(name)
    return check is None or check(value)
