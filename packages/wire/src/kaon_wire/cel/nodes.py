"""The syntax tree of an expression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, kw_only=True, slots=True)
class Literal:
    """A number, text, true, false or null."""

    value: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """A variable, or the name of a type."""

    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """`of.name`."""

    of: Node
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Has:
    """`has(of.name)`."""

    of: Node
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """`of[key]`."""

    of: Node
    key: Node


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """`name(arguments)`, or `first.name(others)` as a method."""

    name: str
    arguments: tuple[Node, ...]
    method: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ListOf:
    """`[a, b]`."""

    items: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MapOf:
    """`{"a": 1}`."""

    entries: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unary:
    """`!a` or `-a`."""

    operator: str
    of: Node


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """Operators that are applied from left to right: `a + b - c`."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Logic:
    """`a && b && c`, or with `||`."""

    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """`condition ? yes : no`."""

    condition: Node
    yes: Node
    no: Node


@dataclass(frozen=True, kw_only=True, slots=True)
class Macro:
    """`over.name(variable, body...)`: a loop over the items of a list or the keys of a map."""

    name: str
    over: Node
    variable: str
    # The condition of all but a `map` of two arguments, and what a `map` makes.
    condition: Node | None
    result: Node | None

    @property
    def bodies(self) -> tuple[Node, ...]:
        """Return what is evaluated for each item."""
        return tuple(each for each in (self.condition, self.result) if each is not None)


Node: TypeAlias = (
    Literal
    | Name
    | Field
    | Has
    | Index
    | Call
    | ListOf
    | MapOf
    | Unary
    | Chain
    | Logic
    | Choice
    | Macro
)


def children(node: Node) -> Iterator[Node]:
    """Yield the parts of a node, in the order in which they are written."""
    match node:
        case Field() | Has() | Unary():
            yield node.of
        case Index():
            yield from (node.of, node.key)
        case Call():
            yield from node.arguments
        case ListOf():
            yield from node.items
        case MapOf():
            for entry in node.entries:
                yield from entry
        case Chain():
            yield node.first
            yield from (operand for _, operand in node.rest)
        case Logic():
            yield from node.operands
        case Choice():
            yield from (node.condition, node.yes, node.no)
        case Macro():
            yield node.over
            yield from node.bodies


def size(node: Node) -> int:
    """Return the number of nodes in a tree."""
    return 1 + sum(size(each) for each in children(node))


def fields_of(node: Node) -> set[tuple[str, str]]:
    """Return the fields that an expression names of its variables, each with the variable: of `a.b.c`, a and b.

    `has(a.b)` names none: it asks whether there is one.
    """
    match node:
        case Has():
            return fields_of(node.of)
        case Field(of=Name(name=of), name=name):
            return {(of, name)}
        case Macro():
            inner = set().union(*(fields_of(each) for each in node.bodies))
            return fields_of(node.over) | {each for each in inner if each[0] != node.variable}
    return set().union(*(fields_of(each) for each in children(node)))


def variables(node: Node) -> set[str]:
    """Return the names that an expression uses and no macro in it binds."""
    match node:
        case Name():
            return {node.name}
        case Macro():
            inner = set().union(*(variables(each) for each in node.bodies))
            return variables(node.over) | (inner - {node.variable})
    return set().union(*(variables(each) for each in children(node)))
