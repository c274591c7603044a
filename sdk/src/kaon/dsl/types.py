"""The types of parameters and outputs, and how users write them."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, TypeAlias

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
    "file",
    "dataset",
    "model",
    "metrics",
    "plot",
    "table",
    "text",
]
# A Python type (str, int, float, bool, list, dict, date, object) or a name, such as "dataset".
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
}
_DATE = re.compile(r"\d{4}-\d\d-\d\d")

ALL_NAMES = ", ".join(_BY_NAME)


def parse(written: object) -> d.ValueType.ValueType | None:
    """Parse the name of a type; return None when there is no such type."""
    if written is Any:
        return d.VALUE_TYPE_ANY
    if isinstance(written, type):
        written = _BY_PYTHON.get(written)
    return _BY_NAME.get(written) if isinstance(written, str) else None


def name_of(value_type: d.ValueType.ValueType) -> TypeName:
    """How users write the type."""
    return _NAMES[value_type]


def is_artifact(value_type: d.ValueType.ValueType) -> bool:
    """Whether outputs of this type are files or directories kept by digest."""
    return _NAMES[value_type] in _ARTIFACTS


def type_of(value: object) -> d.ValueType.ValueType:
    """Return the type of a JSON value; ANY for null."""
    return _BY_NAME[_BY_PYTHON.get(type(value), "any")]


def is_real(value: object) -> bool:
    """Whether `value` is a number that a float can hold, and finite."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max  # type: ignore[arg-type]


def fits(value: object, value_type: d.ValueType.ValueType) -> bool:
    """Whether a JSON value may stand where `value_type` is declared. An integer is a float too; true is no integer."""
    if value_type == d.VALUE_TYPE_ANY:
        return True
    if value_type == d.VALUE_TYPE_FLOAT:
        return is_real(value)
    if is_artifact(value_type):
        return isinstance(value, dict) and value.keys() == {"artifact"}
    if value_type == d.VALUE_TYPE_DATE:
        return isinstance(value, str) and is_date(value)
    return value is not None and type_of(value) == value_type


def is_date(text: str) -> bool:
    """Whether a text is a calendar date such as "2026-11-24"."""
    try:
        return _DATE.fullmatch(text) is not None and bool(date.fromisoformat(text))
    except ValueError:
        return False
