"""What a CEL expression may cost at most, told before it is evaluated: its evaluation cannot be interrupted.

Only macros (`map`, `filter`, `all`, `exists`, `exists_one`) go over lists, and they can stand inside one another. The estimate is
an upper bound: it takes every list to be as long as the longest that the values have, or that can be made of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Making a list copies it with every element, which costs about 20 ns for each; looking at an element costs about 20 of that.
_LOOK = 20
_TEXTS = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', re.S
)
_MACRO = re.compile(r"\.\s*(map|filter|all|exists_one|exists)\s*\($")
_MAKING = frozenset({"map", "filter"})


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What in an expression decides about its cost."""

    # Macros by nesting: (name, the macros in its parentheses).
    macros: tuple[Any, ...]
    # Additions outside of macros, and inside of those whose results further macros go over: each may put two lists together.
    outer_sums: int
    inner_sums: int
    # The longest list that is written in the expression has fewer elements.
    written: int

    def cost(self, variables: Mapping[str, Any]) -> int:
        """The most that an evaluation over these values costs, in copied elements."""
        if not self.macros:
            return 0
        longest = max(longest_in(variables), self.written) * (1 + self.outer_sums)
        # What one macro puts together another may put together once more.
        longest <<= min(self.inner_sums, 64)
        return sum(_cost(macro, longest) for macro in self.macros)


def _cost(macro: Any, longest: int) -> int:
    name, inner = macro
    own = longest * max(longest, _LOOK) if name in _MAKING else longest * _LOOK
    return own + longest * sum(_cost(each, longest) for each in inner)


def longest_in(value: Any) -> int:
    """The length of the longest list or map in a JSON value."""
    longest, stack = 0, [value]
    while stack:
        each = stack.pop()
        if isinstance(each, Mapping):
            longest = max(longest, len(each))
            stack += each.values()
        elif isinstance(each, list):
            longest = max(longest, len(each))
            stack += each
    return longest


def shape_of(expression: str) -> Shape:
    """The shape of an expression that can be parsed."""
    text = _TEXTS.sub('""', expression)
    macros: list[Any] = []
    # For every open parenthesis: where the macros in it belong, and whether it is inside of a macro.
    around: list[tuple[list[Any], bool]] = [(macros, False)]
    outer = inner = last = 0
    for index, character in enumerate(text):
        found, inside = around[-1]
        if character == "(":
            macro = _MACRO.search(text, max(0, index - 40), index + 1)
            if macro is None:
                around.append((found, inside))
            else:
                own: list[Any] = []
                found.append((macro[1], own))
                around.append((own, True))
                if not inside:
                    last = inner
        elif character == ")" and len(around) > 1:
            around.pop()
        elif character == "+":
            outer += not inside
            inner += inside
    if macros and not macros[-1][1]:
        # Nothing goes over what the last macro gives.
        inner = last
    return Shape(macros=tuple(macros), outer_sums=outer, inner_sums=inner, written=text.count(",") + 1)
