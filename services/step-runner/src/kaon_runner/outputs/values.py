"""The types of outputs, as numbered in the protocol and named in context.json."""

from __future__ import annotations

from typing import Any

from kaon_wire import value_types
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

TEXTS = value_types.TEXTS
_NUMBERS = {name: d.ValueType.ValueType(number) for number, name in value_types.NAMES.items()}


def type_name(number: int) -> str:
    """Return the name of a type, for example "dataset"; "any" for a number that this version does not know."""
    return value_types.NAMES.get(number, "any")


def is_artifact(number: int) -> bool:
    """Tell whether values of this type are files or directories stored by digest."""
    return value_types.is_artifact(number)


def declared(spec: step_pb2.StepSpec) -> dict[str, str]:
    """Return the "outputs" of context.json."""
    return {name: type_name(spec.outputs[name]) for name in sorted(spec.outputs)}


def matches(value: Any, name: str) -> bool:
    """Tell whether a JSON value is of the type with this name."""
    kind = _NUMBERS.get(name, d.VALUE_TYPE_ANY)
    return is_artifact(kind) or not value_types.fault(value, d.Shape(type=kind))
