"""Checks the names and the kinds in an expression before it is evaluated, as far as they are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kaon_wire.cel import nodes as n
from kaon_wire.cel.errors import CelError
from kaon_wire.cel.functions import FUNCTIONS
from kaon_wire.cel.operators import COMPARISONS, NUMBERS, ORDERED, no_operator
from kaon_wire.cel.parsing import MACROS
from kaon_wire.cel.signatures import chosen, unknown
from kaon_wire.cel.values import TYPES, kind_of

ANY = "any"


def check(node: n.Node, variables: Mapping[str, str]) -> str:
    """Return the kind of an expression's value; "any" when it is not known.

    Args:
        node: The expression.
        variables: The kinds of the variables; "any" for one that is not known.

    Raises:
        CelError: A name is not known, or an operator or a function does not take such values.
    """
    return _KINDS[type(node)](node, variables)


def _literal(node: n.Literal, variables: Mapping[str, str]) -> str:
    return kind_of(node.value)


def _name(node: n.Name, variables: Mapping[str, str]) -> str:
    if node.name in variables:
        return variables[node.name]
    if node.name in TYPES:
        return "type"
    raise CelError(unknown("variable", node.name, sorted(variables)))


def _field(node: n.Field | n.Has, variables: Mapping[str, str]) -> str:
    kind = check(node.of, variables)
    if kind not in ("map", ANY):
        raise CelError(f"{kind} has no entry {node.name!r}: only maps have entries")
    return ANY


def _has(node: n.Has, variables: Mapping[str, str]) -> str:
    _field(node, variables)
    return "bool"


def _index(node: n.Index, variables: Mapping[str, str]) -> str:
    kind, key = check(node.of, variables), check(node.key, variables)
    wanted = {"list": ("int", "double"), "map": ("string", "int")}.get(kind, (key,))
    if kind not in ("list", "map", ANY) or key not in (*wanted, ANY):
        raise CelError(
            f"{kind}[{key}]: the index of a list is an int, the key of a map a string, and nothing else has any"
        )
    return ANY


def _call(node: n.Call, variables: Mapping[str, str]) -> str:
    if node.name not in FUNCTIONS:
        known = sorted((*FUNCTIONS, *MACROS)) if node.method else sorted(FUNCTIONS)
        raise CelError(unknown("function", node.name, known))
    kinds = [check(each, variables) for each in node.arguments]
    given = {each.result for each in chosen(FUNCTIONS, node.name, kinds)}
    return given.pop() if len(given) == 1 else ANY


def _list(node: n.ListOf, variables: Mapping[str, str]) -> str:
    for each in node.items:
        check(each, variables)
    return "list"


def _map(node: n.MapOf, variables: Mapping[str, str]) -> str:
    for key, value in node.entries:
        if (kind := check(key, variables)) not in ("string", ANY):
            raise CelError(f"the key of a map is a string, not {kind}")
        check(value, variables)
    return "map"


def _unary(node: n.Unary, variables: Mapping[str, str]) -> str:
    kind = check(node.of, variables)
    if node.operator == "!":
        _condition(kind, "the operand of !")
        return "bool"
    if kind not in (*NUMBERS, "duration", ANY):
        raise CelError(f"-{kind}: only a number or a duration can be negated")
    return kind


def _chain(node: n.Chain, variables: Mapping[str, str]) -> str:
    kind = check(node.first, variables)
    for sign, operand in node.rest:
        kind = _operated(kind, sign, check(operand, variables))
    return kind


def _operated(left: str, sign: str, right: str) -> str:
    if sign in ("==", "!="):
        return "bool"
    if sign == "in":
        if right not in ("list", "map", ANY):
            raise CelError(f"{left} in {right}: `in` looks into a list or a map")
        return "bool"
    if sign in COMPARISONS:
        _comparable(left, sign, right)
        return "bool"
    if left in NUMBERS and right in NUMBERS:
        return "int" if left == right == "int" else "double"
    if ANY in (left, right):
        known = right if left == ANY else left
        if known in ("bool", "map", "null", "type") or (
            sign not in "+-" and known not in (*NUMBERS, ANY)
        ):
            raise no_operator(sign, left, right)
        return ANY
    if (result := _JOINED.get((left, sign, right))) is None:
        raise no_operator(sign, left, right)
    return result


def _comparable(left: str, sign: str, right: str) -> None:
    if ANY in (left, right):
        known = right if left == ANY else left
        good = known in (*NUMBERS, *ORDERED, ANY)
    else:
        good = (left in NUMBERS and right in NUMBERS) or (left == right and left in ORDERED)
    if not good:
        raise no_operator(sign, left, right)


_JOINED: Mapping[tuple[str, str, str], str] = {
    **{(kind, "+", kind): kind for kind in ("string", "bytes", "list", "duration")},
    ("duration", "-", "duration"): "duration",
    ("timestamp", "+", "duration"): "timestamp",
    ("duration", "+", "timestamp"): "timestamp",
    ("timestamp", "-", "duration"): "timestamp",
    ("timestamp", "-", "timestamp"): "duration",
}


def _logic(node: n.Logic, variables: Mapping[str, str]) -> str:
    for each in node.operands:
        _condition(check(each, variables), f"an operand of {node.operator}")
    return "bool"


def _choice(node: n.Choice, variables: Mapping[str, str]) -> str:
    _condition(check(node.condition, variables), "a condition")
    yes, no = check(node.yes, variables), check(node.no, variables)
    return yes if yes == no else ANY


def _macro(node: n.Macro, variables: Mapping[str, str]) -> str:
    kind = check(node.over, variables)
    if kind not in ("list", "map", ANY):
        raise CelError(f"{node.name}() goes over a list or a map, not {kind}")
    inner = {**variables, node.variable: "string" if kind == "map" else ANY}
    if node.condition is not None:
        _condition(check(node.condition, inner), f"the condition of {node.name}()")
    if node.result is not None:
        check(node.result, inner)
    return "list" if node.name in ("filter", "map") else "bool"


def _condition(kind: str, what: str) -> None:
    if kind not in ("bool", ANY):
        raise CelError(f"{what} must be true or false, not {kind}")


_KINDS: Mapping[type, Callable[[Any, Mapping[str, str]], str]] = {
    n.Literal: _literal,
    n.Name: _name,
    n.Field: _field,
    n.Has: _has,
    n.Index: _index,
    n.Call: _call,
    n.ListOf: _list,
    n.MapOf: _map,
    n.Unary: _unary,
    n.Chain: _chain,
    n.Logic: _logic,
    n.Choice: _choice,
    n.Macro: _macro,
}
