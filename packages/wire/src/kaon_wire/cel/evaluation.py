"""Turns a syntax tree into Python functions that evaluate it.

Each takes the values of the variables by name; under the empty name they have the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from kaon_wire.cel import nodes as n
from kaon_wire.cel.budget import NODE
from kaon_wire.cel.errors import CelError
from kaon_wire.cel.functions import FUNCTIONS
from kaon_wire.cel.operators import OPERATORS, negate, truth
from kaon_wire.cel.signatures import invoke, unknown
from kaon_wire.cel.values import TYPES, kind_of

Values: TypeAlias = dict[str, Any]
Evaluate: TypeAlias = Callable[[Values], Any]
BUDGET = ""
_MISSING = object()


def evaluator(node: n.Node) -> Evaluate:
    """Return the function that evaluates a node."""
    return _KINDS[type(node)](node)


def _literal(node: n.Literal) -> Evaluate:
    value = node.value
    return lambda values: value


def _name(node: n.Name) -> Evaluate:
    name = node.name

    def evaluate(values: Values) -> Any:
        try:
            return values[name]
        except KeyError:
            if name in TYPES:
                return TYPES[name]
            raise CelError(unknown("variable", name, [each for each in values if each])) from None

    return evaluate


def _field(node: n.Field) -> Evaluate:
    of, name = evaluator(node.of), node.name
    return lambda values: _entry(of(values), name)


def _has(node: n.Has) -> Evaluate:
    of, name = evaluator(node.of), node.name

    def evaluate(values: Values) -> bool:
        value = of(values)
        if not isinstance(value, Mapping):
            raise CelError(f"has() looks into a map, not {kind_of(value)}")
        return name in value

    return evaluate


def _index(node: n.Index) -> Evaluate:
    of, key = evaluator(node.of), evaluator(node.key)

    def evaluate(values: Values) -> Any:
        value, wanted = of(values), key(values)
        if not isinstance(value, list):
            return _entry(value, wanted)
        if isinstance(wanted, float) and wanted.is_integer():
            wanted = int(wanted)
        if type(wanted) is not int:
            raise CelError(f"the index of a list is an int, not {kind_of(wanted)}")
        if not 0 <= wanted < len(value):
            raise CelError(f"the list has no index {wanted}: it has {len(value)} items")
        return value[wanted]

    return evaluate


def _entry(value: Any, key: Any) -> Any:
    if not isinstance(value, Mapping):
        raise CelError(f"{kind_of(value)} has no entry {key!r}: only maps have entries")
    if not isinstance(key, str | int):
        raise CelError(f"the key of a map is a string, not {kind_of(key)}")
    try:
        return value[key]
    except KeyError:
        raise CelError(f"there is no key {key!r}") from None


def _call(node: n.Call) -> Evaluate:
    name, arguments = node.name, [evaluator(each) for each in node.arguments]
    if name == "coalesce":
        return _coalesce(arguments)

    def evaluate(values: Values) -> Any:
        given = [each(values) for each in arguments]
        return invoke(FUNCTIONS, name, given, [kind_of(each) for each in given], values[BUDGET])

    return evaluate


def _coalesce(arguments: Sequence[Evaluate]) -> Evaluate:
    """Return the first value that is not null; those after it are not evaluated."""

    def evaluate(values: Values) -> Any:
        for each in arguments:
            if (value := each(values)) is not None:
                return value
        return None

    return evaluate


def _list(node: n.ListOf) -> Evaluate:
    items = [evaluator(each) for each in node.items]
    return lambda values: [each(values) for each in items]


def _map(node: n.MapOf) -> Evaluate:
    entries = [(evaluator(key), evaluator(value)) for key, value in node.entries]

    def evaluate(values: Values) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in entries:
            name = key(values)
            if not isinstance(name, str):
                raise CelError(f"the key of a map is a string, not {kind_of(name)}")
            made[name] = value(values)
        return made

    return evaluate


def _unary(node: n.Unary) -> Evaluate:
    of = evaluator(node.of)
    if node.operator == "!":
        return lambda values: not truth(of(values), "the operand of !")
    return lambda values: negate(of(values))


def _chain(node: n.Chain) -> Evaluate:
    first = evaluator(node.first)
    rest = [(OPERATORS[sign], evaluator(each)) for sign, each in node.rest]
    if len(rest) == 1:
        ((apply, operand),) = rest
        return lambda values: apply(first(values), operand(values), values[BUDGET])

    def evaluate(values: Values) -> Any:
        value = first(values)
        for apply, operand in rest:
            value = apply(value, operand(values), values[BUDGET])
        return value

    return evaluate


def _logic(node: n.Logic) -> Evaluate:
    operands = [evaluator(each) for each in node.operands]
    deciding, what = node.operator == "||", f"an operand of {node.operator}"

    def evaluate(values: Values) -> bool:
        return _decided((_truth(each, values, what) for each in operands), deciding)

    return evaluate


def _truth(evaluate: Evaluate, values: Values, what: str) -> bool | CelError:
    try:
        return truth(evaluate(values), what)
    except CelError as error:
        return error


def _decided(found: Iterable[bool | CelError], deciding: bool) -> bool:
    """Return `deciding` when one value is that, even when others have errors."""
    failed: CelError | None = None
    for each in found:
        if each is deciding:
            return deciding
        if isinstance(each, CelError):
            failed = failed or each
    if failed is not None:
        raise failed
    return not deciding


def _choice(node: n.Choice) -> Evaluate:
    condition, yes, no = evaluator(node.condition), evaluator(node.yes), evaluator(node.no)

    def evaluate(values: Values) -> Any:
        return yes(values) if truth(condition(values), "a condition") else no(values)

    return evaluate


def _macro(node: n.Macro) -> Evaluate:
    over, variable = evaluator(node.over), node.variable
    condition = None if node.condition is None else evaluator(node.condition)
    result = None if node.result is None else evaluator(node.result)
    price = NODE * (1 + sum(map(n.size, node.bodies)))
    loop = _LOOPS[node.name]

    def evaluate(values: Values) -> Any:
        items = over(values)
        if not isinstance(items, list | Mapping):
            raise CelError(f"{node.name}() goes over a list or a map, not {kind_of(items)}")
        values[BUDGET].charge(price * len(items))
        outer = values.get(variable, _MISSING)
        try:
            return loop(_each(items, variable, values), condition, result, values)
        finally:
            if outer is _MISSING:
                values.pop(variable, None)
            else:
                values[variable] = outer

    return evaluate


def _each(items: Any, variable: str, values: Values) -> Any:
    for item in items:
        values[variable] = item
        yield item


def _filter(items: Any, condition: Any, result: Any, values: Values) -> list[Any]:
    return [each for each in items if truth(condition(values), "the condition of filter()")]


def _mapped(items: Any, condition: Any, result: Any, values: Values) -> list[Any]:
    if condition is None:
        return [result(values) for _ in items]
    return [result(values) for _ in items if truth(condition(values), "the condition of map()")]


def _all(items: Any, condition: Any, result: Any, values: Values) -> bool:
    what = "the condition of all()"
    return _decided((_truth(condition, values, what) for _ in items), False)


def _exists(items: Any, condition: Any, result: Any, values: Values) -> bool:
    what = "the condition of exists()"
    return _decided((_truth(condition, values, what) for _ in items), True)


def _exists_one(items: Any, condition: Any, result: Any, values: Values) -> bool:
    found = (truth(condition(values), "the condition of exists_one()") for _ in items)
    return sum(found) == 1


_LOOPS: Mapping[str, Callable[..., Any]] = {
    "filter": _filter,
    "map": _mapped,
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
}
_KINDS: Mapping[type, Callable[[Any], Evaluate]] = {
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
