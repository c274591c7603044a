"""Parameters that a workflow passes on to a sub-workflow, and parameters that one must be given."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from kaon_wire.value_types import is_required
from kaonapi.workflow.v1 import definition_pb2 as d

# Types whose values may be, or are, values of another one.
_FITTING = {
    (d.VALUE_TYPE_INT, d.VALUE_TYPE_FLOAT),
    (d.VALUE_TYPE_STRING, d.VALUE_TYPE_DATE),
    (d.VALUE_TYPE_DATE, d.VALUE_TYPE_STRING),
    (d.VALUE_TYPE_STRING, d.VALUE_TYPE_DATETIME),
    (d.VALUE_TYPE_DATETIME, d.VALUE_TYPE_STRING),
    (d.VALUE_TYPE_STRING, d.VALUE_TYPE_DURATION),
    (d.VALUE_TYPE_DURATION, d.VALUE_TYPE_STRING),
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A parameter of the sub-workflow."""

    type: d.ValueType.ValueType
    # It has no default.
    required: bool


def fits(kind: d.ValueType.ValueType, wanted: d.ValueType.ValueType) -> bool:
    """Tell whether values of one type may be values of another, as far as the types tell."""
    return kind == wanted or d.VALUE_TYPE_ANY in (kind, wanted) or (kind, wanted) in _FITTING


def passing_problems(
    given: Collection[str],
    own: Mapping[str, d.ValueType.ValueType],
    wanted: Mapping[str, Wanted],
    name_of: Mapping[d.ValueType.ValueType, str],
) -> Iterator[str]:
    """Yield why the parameters of a workflow cannot be passed on to a sub-workflow.

    Args:
        given: The names of the parameters that the block gives by itself.
        own: The types of the parameters of the workflow, by name.
        wanted: The parameters of the sub-workflow, by name.
        name_of: The words for types.
    """
    for name, parameter in sorted(wanted.items()):
        if name in given:
            continue
        if name not in own:
            if parameter.required:
                yield f"parameter {name!r} has no value: this workflow has no parameter of that name to pass on"
        elif not fits(own[name], parameter.type):
            yield (
                f"parameter {name!r} is of type {name_of[own[name]]} here"
                f" and of type {name_of[parameter.type]} there"
            )


def wanted_by(definition: d.WorkflowDefinition) -> dict[str, Wanted]:
    """Return the parameters of a workflow, by name."""
    return {
        each.name: Wanted(type=each.type, required=is_required(each))
        for each in definition.parameters
    }
