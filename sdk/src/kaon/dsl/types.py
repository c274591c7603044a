"""The types of parameters and outputs, and how users write them."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

from kaon_wire import canonical, times, value_types
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d

# The names of types; those from "file" on are artifacts.
TypeName: TypeAlias = Literal[
    "string",
    "int",
    "float",
    "bool",
    "list",
    "map",
    "any",
    "date",
    "datetime",
    "duration",
    "file",
    "dataset",
    "model",
    "metrics",
    "plot",
    "table",
    "text",
]
# A Python type (str, int, float, bool, list, dict, date, datetime, timedelta, object) or a name, such as "dataset".
TypeLike: TypeAlias = type | TypeName

_VALUES: dict[TypeName, d.ValueType.ValueType] = {
    "string": d.VALUE_TYPE_STRING,
    "int": d.VALUE_TYPE_INT,
    "float": d.VALUE_TYPE_FLOAT,
    "bool": d.VALUE_TYPE_BOOL,
    "list": d.VALUE_TYPE_LIST,
    "map": d.VALUE_TYPE_MAP,
    "any": d.VALUE_TYPE_ANY,
    "date": d.VALUE_TYPE_DATE,
    "datetime": d.VALUE_TYPE_DATETIME,
    "duration": d.VALUE_TYPE_DURATION,
}
_ARTIFACTS: dict[TypeName, d.ValueType.ValueType] = {
    "file": d.VALUE_TYPE_FILE,
    "dataset": d.VALUE_TYPE_DATASET,
    "model": d.VALUE_TYPE_MODEL,
    "metrics": d.VALUE_TYPE_METRICS,
    "plot": d.VALUE_TYPE_PLOT,
    "table": d.VALUE_TYPE_TABLE,
    "text": d.VALUE_TYPE_TEXT,
}
_BY_NAME: Mapping[str, d.ValueType.ValueType] = dict((*_VALUES.items(), *_ARTIFACTS.items()))
_NAMES = {number: name for part in (_VALUES, _ARTIFACTS) for name, number in part.items()}
_BY_PYTHON: dict[type, str] = {
    str: "string",
    int: "int",
    float: "float",
    bool: "bool",
    list: "list",
    tuple: "list",
    dict: "map",
    object: "any",
    date: "date",
    datetime: "datetime",
    timedelta: "duration",
}
# "int", "int?", "list[datetime]", "map[list[float]]?".
_WRITTEN = re.compile(r"(?P<name>[a-z]+)(?:\[(?P<of>.+)\])?(?P<optional>\?)?")
_INSIDE = (d.VALUE_TYPE_LIST, d.VALUE_TYPE_MAP)

ALL_NAMES = ", ".join(_BY_NAME)


def parse(written: object) -> d.ValueType.ValueType | None:
    """Parse the name of a type; return None when there is no such type."""
    if written is Any:
        return d.VALUE_TYPE_ANY
    if isinstance(written, type):
        written = _BY_PYTHON.get(written)
    return _BY_NAME.get(written) if isinstance(written, str) else None


def shape(written: Any) -> d.Shape | None:
    """Parse a type with what is inside of it; return None when there is no such type.

    `list[int]`, `dict[str, float]`, `int | None`, `Literal["a", "b"]`, an Enum class, or their names, such as "list[datetime]?".
    """
    if isinstance(written, str):
        return _named(written)
    if isinstance(written, type) and issubclass(written, Enum):
        return _choices([each.value for each in written])
    origin, inner = get_origin(written), get_args(written)
    if origin is Literal:
        return _choices([as_json(each) for each in inner])
    if origin in (Union, types.UnionType):
        return _union(inner)
    if origin is list and len(inner) == 1:
        return _holding(d.VALUE_TYPE_LIST, inner[0])
    if origin is dict and len(inner) == 2 and inner[0] is str:
        return _holding(d.VALUE_TYPE_MAP, inner[1])
    kind = parse(written)
    return None if kind is None else d.Shape(type=kind)


def _named(written: str) -> d.Shape | None:
    found = _WRITTEN.fullmatch(written)
    kind = _BY_NAME.get(found["name"]) if found is not None else None
    if found is None or kind is None:
        return None
    result = _holding(kind, found["of"]) if found["of"] else d.Shape(type=kind)
    if result is not None:
        result.optional = found["optional"] is not None
    return result


def _holding(kind: d.ValueType.ValueType, inner: Any) -> d.Shape | None:
    of = shape(inner) if kind in _INSIDE else None
    if of is None:
        return None
    # What may be anything is a list or map as such.
    return d.Shape(type=kind, of=None if of == d.Shape(type=d.VALUE_TYPE_ANY) else of)


def _union(inner: tuple[Any, ...]) -> d.Shape | None:
    some = [each for each in inner if each is not type(None)]
    if len(some) != 1 or len(some) == len(inner):
        return None
    result = shape(some[0])
    if result is not None:
        result.optional = True
    return result


def _choices(values: list[Any]) -> d.Shape | None:
    some = [each for each in values if each is not None]
    found = {type_of(each) for each in some}
    if len(found) != 1 or d.VALUE_TYPE_ANY in found:
        return None
    return d.Shape(
        type=found.pop(),
        choices_json=[canonical.dumps(each) for each in some],
        optional=len(some) < len(values),
    )


def as_json(value: Any) -> Any:
    """Return a value with times, durations and members of enumerations as JSON has them; other values as they are.

    Raises:
        InvalidValue: a time does not say in which zone it is.
    """
    if isinstance(value, Enum):
        return as_json(value.value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidValue(
                f"{value.isoformat()} does not say in which zone it is: give a datetime with tzinfo"
            )
        return times.time_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return times.duration_text(value)
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items()}
    return value


def name_of(value_type: d.ValueType.ValueType) -> TypeName:
    """How users write the type."""
    return _NAMES[value_type]


def is_artifact(value_type: d.ValueType.ValueType) -> bool:
    """Whether outputs of this type are files or directories kept by digest."""
    return _NAMES[value_type] in _ARTIFACTS


def type_of(value: object) -> d.ValueType.ValueType:
    """Return the type of a JSON value; ANY for null."""
    return _BY_NAME[_BY_PYTHON.get(type(value), "any")]


def is_number(value: object) -> bool:
    """Whether `value` is a number; true is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_real(value: object) -> bool:
    """Whether `value` is a number that a float can hold, and finite."""
    return is_number(value) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]


def fits(value: object, value_type: d.ValueType.ValueType) -> bool:
    """Whether a JSON value may stand where `value_type` is declared. An integer is a float too; true is no integer."""
    return not fault(value, d.Shape(type=value_type))


def fault(value: object, declared: value_types.Shaped) -> str:
    """Describe why a JSON value may not stand where a type is declared; empty when it may."""
    if declared.type == d.VALUE_TYPE_FLOAT and is_number(value) and not is_real(value):
        return f"is {value_types.shown(repr(value))}, which no float can hold"
    return value_types.fault(value, declared)
