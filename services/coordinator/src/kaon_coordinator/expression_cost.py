"""Upper bounds of the cost of CEL expressions, estimated before evaluation, which cannot be interrupted.

The unit is the copy of one number in a list (about 20 ns). Values are copied as a whole, with everything in
them: once on their way into the library, by every `+` of texts and lists, and repeatedly by macros (`map`,
`filter`, `all`, `exists`, `exists_one`), which iterate over lists and can be nested. The estimate is an upper
bound from the sizes of the actual values. It assumes that every list is as long as the longest one that
exists or can be built, and that every operator copies all values named around it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Visiting an element costs as much as so many copies, and so does converting one from Python.
_LOOK = 20
_TAKE_OVER = 6
# A text of so many characters costs one more unit.
_CHARACTERS = 256
# Cost of visiting the states of a pattern once for each of so many characters.
_STATE = 13
# The library compiles no pattern with many more states.
_MOST_STATES = 300_000
# Another entry of a map.
_ENTRY = 4
_TEXTS = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'',
    re.S,
)
_MACRO = re.compile(r"\.\s*(map|filter|all|exists_one|exists)\s*\($")
_MAKING = frozenset({"map", "filter"})
_FIXED_PATTERN = re.compile(r'\bmatches\s*\(\s*""\s*\)')
_TIMES = re.compile(r"\{\s*(\d*)\s*,?\s*(\d*)\s*\}")
# The tokens: parentheses, operators over whole values, names, and whether a name is a function or a field.
_TOKEN = re.compile(r"[()]|\+|==|!=|\.?\s*[A-Za-z_]\w*\s*\(?")


@dataclass(kw_only=True)
class Scope:
    """The expression itself, or the parentheses of one macro."""

    # The macro's name; empty for the expression itself.
    macro: str = ""
    # Operators and functions that may traverse whole values.
    operations: int = 0
    # States of the patterns of `matches`: each may be visited for each character.
    states: int = 0
    # The names in it, with repetitions.
    names: list[str] = field(default_factory=list)
    inner: list[Scope] = field(default_factory=list)

    def weight(self, weights: Mapping[str, int]) -> int:
        """Return the cost of copying all named values."""
        return sum(weights.get(name, 0) for name in self.names)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The properties of an expression that determine its cost."""

    outer: Scope
    # Additions outside of macros, and inside of those whose results other macros iterate over: each may join
    # two lists.
    outer_sums: int
    inner_sums: int
    # The longest list literal in the expression has fewer elements.
    written: int
    characters: int

    def cost(self, variables: Mapping[str, Any]) -> int:
        """Return the upper bound of the cost of an evaluation over these values."""
        weights = {name: weight_of(value) for name, value in variables.items()}
        named = self.outer.weight(weights) + self.characters
        total = _TAKE_OVER * sum(weights.values())
        total += self.outer.operations * named + self.outer.states * _STATE * named
        if self.outer.inner:
            longest = max(longest_in(variables), self.written) * (1 + self.outer_sums)
            # A second macro may join once more what one macro has joined.
            longest <<= min(self.inner_sums, 64)
            heaviest = max((*weights.values(), longest)) * (1 + self.outer_sums) << min(
                self.inner_sums, 64
            )
            total += sum(_cost(each, longest, heaviest, weights) for each in self.outer.inner)
        return total


def _cost(scope: Scope, longest: int, heaviest: int, weights: Mapping[str, int]) -> int:
    """Return the cost of one macro over a list of this length, whose elements weigh as much as the heaviest value."""
    named = scope.weight(weights)
    own = longest * _LOOK + scope.operations * (heaviest + longest * named)
    own += scope.states * _STATE * (heaviest + longest * (named + 1))
    if scope.macro in _MAKING:
        # The list is copied for every added element, half of it on average.
        own += longest * (heaviest + longest * named) // 2
        heaviest += longest * named
    return own + longest * sum(_cost(each, longest, heaviest, weights) for each in scope.inner)


def weight_of(value: Any) -> int:
    """Return the cost of copying a JSON value with everything in it."""
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


def longest_in(value: Any) -> int:
    """Return the length of the longest list or map in a JSON value."""
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
    """Return the shape of an expression that can be parsed."""
    text = _TEXTS.sub('""', expression)
    states = _states_of(expression, text)
    outermost = Scope()
    # For every open parenthesis: the scope of its content.
    around = [outermost]
    outer = inner = last = 0
    for found in _TOKEN.finditer(text):
        token, scope = found[0], around[-1]
        if token == ")":
            if len(around) > 1:
                around.pop()
        elif token == "+":
            scope.operations += 1
            outer += scope is outermost
            inner += scope is not outermost
        elif token in {"==", "!="}:
            scope.operations += 1
        elif not token.endswith("("):
            _named(scope, token)
        elif (macro := _MACRO.search(text, max(0, found.end() - 40), found.end())) is not None:
            scope.inner.append(Scope(macro=macro[1]))
            around.append(scope.inner[-1])
            if scope is outermost:
                last = inner
        else:
            _called(scope, token, states)
            around.append(scope)
    if outermost.inner and not outermost.inner[-1].inner:
        # Nothing iterates over the result of the last macro.
        inner = last
    return Shape(
        outer=outermost,
        outer_sums=outer,
        inner_sums=inner,
        written=text.count(",") + 1,
        characters=len(expression) // _CHARACTERS,
    )


def _named(scope: Scope, token: str) -> None:
    """Read a variable, a field or a keyword."""
    if token == "in":
        scope.operations += 1
    elif not token.startswith("."):
        scope.names.append(token.strip())


def _called(scope: Scope, token: str, states: int) -> None:
    """Read a parenthesis, or a function in front of it."""
    name = token.strip(" .(\t\r\n")
    if name == "matches":
        scope.states += states
    elif name not in {"", "size", "has"}:
        scope.operations += 1


def _states_of(expression: str, text: str) -> int:
    """Return the upper bound of a pattern's states.

    Each repetition `{n}` multiplies those before it by n. A pattern that a value provides has an unknown
    number.
    """
    calls = len(re.findall(r"\bmatches\b", text))
    if calls > len(_FIXED_PATTERN.findall(text)):
        return _MOST_STATES
    most = 1
    for found in _TEXTS.finditer(expression):
        states = len(found[0])
        for low, high in _TIMES.findall(found[0]):
            states = min(states * max(int(low[:6] or 1), int(high[:6] or 1), 1), _MOST_STATES)
        most = max(most, states)
    return most
