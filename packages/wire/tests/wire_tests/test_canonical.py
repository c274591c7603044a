"""Canonical JSON is what `json.dumps` writes with sorted keys and no white space, whatever was written before."""

from __future__ import annotations

import enum
import json
from typing import Any

import pytest

from kaon_wire import canonical
from kaon_wire.errors import InvalidValue


class _Level(enum.IntEnum):
    HIGH = 3


_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -(10**30),
    1e300,
    0.1,
    "",
    'quote " backslash \\ line \n tab \t',
    "caf\u00e9 \u2028 \U0001f600",
    [],
    {},
    [1, [2, {"b": [], "a": {}}]],
    {"b": 1, "a": (1, 2), "\u00e9": _Level.HIGH},
)


@pytest.mark.parametrize("value", _VALUES, ids=repr)
def test_a_value_is_written_as_by_the_standard_library(value: object) -> None:
    expected = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    assert canonical.dumps(value) == expected


def _circle() -> list[Any]:
    found: list[Any] = []
    found.append({"inner": found})
    return found


@pytest.mark.parametrize(
    "wrong", [_circle(), [float("nan")], {"x": float("inf")}, [{1, 2}], {1: 1, "a": 2}], ids=repr
)
def test_what_is_no_json_is_refused_and_leaves_no_trace(wrong: Any) -> None:
    good = {"inner": [1, {"x": 2}]}
    for _ in range(3):
        with pytest.raises(InvalidValue, match="not a JSON value"):
            canonical.dumps([good, wrong])
        # The same object again: what was refused has not marked it.
        assert canonical.dumps([good, good]) == '[{"inner":[1,{"x":2}]},{"inner":[1,{"x":2}]}]'
