"""Which inputs of a step are times and durations: a Python step gets them as `datetime` and `timedelta`."""

from __future__ import annotations

from typing import Any

from kaon.dsl.bindings import Binder
from kaon.dsl.blocks import Each
from kaon.dsl.values import Parameter, Reference
from kaon_wire import value_types
from kaonapi.workflow.v1 import definition_pb2 as d

_NATIVE = frozenset({d.VALUE_TYPE_DATETIME, d.VALUE_TYPE_DURATION})


def natives_of(binder: Binder, value: object, bound: d.ValueType.ValueType) -> Any:
    """Return what a step has to convert in an input: "datetime", "duration", {"list": ...} or {"map": ...}; None for nothing.

    Args:
        binder: knows the parameters.
        value: what is bound to the input.
        bound: its type.
    """
    match value:
        case Parameter():
            return _told(_shape(binder, value))
        case Each(items=Parameter() as items):
            return _told(_shape(binder, items).of)
        case Reference() if value.type in _NATIVE and bound == d.VALUE_TYPE_LIST:
            return {"list": value_types.NAMES[value.type]}
    return value_types.NAMES[bound] if bound in _NATIVE else None


def _shape(binder: Binder, parameter: Parameter) -> d.Shape:
    found = binder.found.get(parameter.name, parameter)
    return binder.declared.get(parameter.name, found).shape


def _told(shape: d.Shape) -> Any:
    if shape.type in _NATIVE:
        return value_types.NAMES[shape.type]
    inside = _told(shape.of) if shape.of.type else None
    return None if inside is None else {value_types.NAMES[shape.type]: inside}
