"""The values of expressions: their kinds, equality and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from kaon_wire.times import duration_text, time_text

# A text of so many characters weighs one more unit.
_CHARACTERS = 256
# Another entry of a map.
_ENTRY = 4
LEAST, MOST = -(2**63), 2**63 - 1


class TypeName(str):
    """The value of `type(x)`; as JSON its name."""

    __slots__ = ()


_KINDS: Mapping[type, str] = {
    bool: "bool",
    int: "int",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    tuple: "list",
    dict: "map",
    type(None): "null",
    datetime: "timestamp",
    timedelta: "duration",
    TypeName: "type",
}
# The names that stand for types in expressions.
TYPES = {
    kind: TypeName(kind)
    for kind in ("bool", "int", "double", "string", "bytes", "list", "map", "timestamp", "duration")
} | {"uint": TypeName("int"), "null_type": TypeName("null_type"), "type": TypeName("type")}


def kind_of(value: Any) -> str:
    """Return the kind of a value."""
    return _KINDS.get(type(value), "map" if isinstance(value, Mapping) else "any")


def type_of(value: Any) -> TypeName:
    """Return what `type(value)` is."""
    kind = kind_of(value)
    return TYPES["null_type" if kind == "null" else kind]


def equal(one: Any, other: Any) -> bool:
    """Tell whether two values are equal: 1 equals 1.0, and true does not equal 1."""
    pairs = [(one, other)]
    while pairs:
        left, right = pairs.pop()
        if isinstance(left, bool) or isinstance(right, bool):
            if left is not right:
                return False
        elif isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            pairs += zip(left, right, strict=True)
        elif isinstance(left, Mapping) and isinstance(right, Mapping):
            if left.keys() != right.keys():
                return False
            pairs += ((value, right[key]) for key, value in left.items())
        elif (
            kind_of(left) != kind_of(right) and not (_number(left) and _number(right))
        ) or left != right:
            return False
    return True


def _number(value: Any) -> bool:
    return isinstance(value, int | float)


def weight_of(value: Any) -> int:
    """Return the cost of going through a JSON value with everything in it."""
    weight, stack = 0, [value]
    while stack:
        each = stack.pop()
        weight += 1
        if isinstance(each, Mapping):
            weight += sum(_ENTRY + len(key) // _CHARACTERS for key in each)
            stack += each.values()
        elif isinstance(each, list):
            stack += each
        elif isinstance(each, str):
            weight += len(each) // _CHARACTERS
    return weight


def plain(value: Any) -> Any:
    """Return a value as JSON has it: times and durations as texts."""
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, TypeName):
        return str(value)
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value
