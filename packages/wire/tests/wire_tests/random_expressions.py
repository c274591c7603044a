"""Random expressions of the part of CEL that ours has in common with other implementations."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

VARIABLES: Mapping[str, Any] = {
    "i": 5,
    "d": 0.5,
    "s": "text",
    "b": True,
    "l": [1, 2, 5],
    "t": ["x", "7"],
    "m": {"a": 3},
}
# The share of operands that are of any kind instead of the one that fits.
_STRANGE = 0.04
_LEAVES: Mapping[str, tuple[str, ...]] = {
    "int": ("0", "1", "2", "-3", "7", "9223372036854775807", "-9223372036854775808", "i"),
    "double": ("0.0", "1.5", "-2.25", "1e10", "d"),
    "string": ("''", "'a'", "'ab'", "'7'", "'1.5'", "s"),
    "bool": ("true", "false", "b"),
    "list": ("[]", "[1, 2, 3]", "[0, -3]", "l"),
    "strings": ("[]", "['a', 'b']", "['7']", "t"),
    # The order of several entries is not the same everywhere.
    "map": ("{}", "{'a': 0}", "m"),
}
KINDS = tuple(_LEAVES)
# What makes a value of a kind of others: `{int}` stands for one of this kind, `{int|bool}` for one of several, and
# `{int:bool}` for a bool in which `x` is an int.
_FORMS: Mapping[str, tuple[str, ...]] = {
    "int": (
        "({int} + {int})",
        "({int} - {int})",
        "({int} * {int})",
        "({int} / {int})",
        "({int} % {int})",
        "-({int})",
        "size({string|list|strings|map})",
        "int({int|double|string})",
        "{list}[{int}]",
        "{map}.a",
        "{map}[{string}]",
    ),
    "double": (
        "({double} + {double})",
        "({double} - {double})",
        "({double} * {double})",
        "({double} / {double})",
        "-({double})",
        "double({int|double|string})",
    ),
    "string": ("({string} + {string})", "string({int|string})", "{strings}[{int}]"),
    "bool": (
        "({int|double|string|bool|list|strings|map} == {int|double|string|bool|list|strings|map})",
        "({int} != {double})",
        "({int} < {int})",
        "({double} <= {int})",
        "({string} > {string})",
        "({double} >= {double})",
        "({bool} && {bool})",
        "({bool} || {bool})",
        "!{bool}",
        "({int} in {list})",
        "({string} in {strings})",
        "({string} in {map})",
        "{string}.startsWith({string})",
        "{string}.endsWith({string})",
        "{string}.contains({string})",
        "has({map}.a)",
        "{list}.all(x, {int:bool})",
        "{list}.exists(x, {int:bool})",
        "{strings}.exists_one(x, {string:bool})",
        "(type({int|double|string|bool}) == type({int|double|string|bool}))",
    ),
    "list": (
        "[{int}, {int}]",
        "({list} + {list})",
        "{list}.filter(x, {int:bool})",
        "{list}.map(x, {int:int})",
        "{strings}.map(x, {string:int})",
    ),
    "strings": (
        "[{string}]",
        "({strings} + {strings})",
        "{strings}.filter(x, {string:bool})",
        "{list}.map(x, {int:string})",
    ),
    "map": ("{'a': {int}}", "({bool} ? {map} : {map})"),
}


_PLACE = re.compile(r"\{([a-z|:]+)\}")


class RandomExpressions:
    """Makes expressions from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        # The kind of the item of the macros around.
        self._items: list[str] = []

    def expression(self, depth: int = 3) -> str:
        """Return an expression of any kind."""
        return self._of("|".join(KINDS), depth)

    def _of(self, kinds: str, depth: int) -> str:
        kind = self._random.choice(kinds.split("|"))
        if self._random.random() < _STRANGE:
            kind = self._random.choice(KINDS)
        if depth == 0:
            return self._leaf(kind)
        if self._random.random() < 0.1:
            return f"({self._of('bool', depth - 1)} ? {self._of(kind, depth - 1)} : {self._of(kind, depth - 1)})"
        return self._filled(self._random.choice(_FORMS[kind]), depth - 1)

    def _leaf(self, kind: str) -> str:
        if self._items and self._items[-1] == kind and self._random.random() < 0.6:
            return "x"
        return self._random.choice(_LEAVES[kind])

    def _filled(self, form: str, depth: int) -> str:
        return _PLACE.sub(lambda place: self._place(place[1], depth), form)

    def _place(self, place: str, depth: int) -> str:
        item, _, kinds = place.rpartition(":")
        if not item:
            return self._of(kinds, depth)
        self._items.append(item)
        try:
            return self._of(kinds, depth)
        finally:
            self._items.pop()
