"""Evaluates CEL, the Common Expression Language: bounded, without side effects, never `eval`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from kaon_coordinator.engine.definition.limits import DEFAULT
from kaon_coordinator.expression_cost import Shape, shape_of
from kaon_wire import canonical, cel_engine
from kaon_wire.definitions.limits import EXPRESSION_CHARACTERS
from kaon_wire.errors import InvalidValue, KaonError

_cel = cel_engine.load()


class ExpressionError(KaonError):
    """An expression has no value; the text has the expression, its values and the reason."""


class Meter:
    """Evaluates the expressions of one turn of the engine, and counts their costs.

    An evaluation cannot be interrupted and blocks everything else. So neither one expression nor all those of
    one node may cost more than the limit. When those of a turn have cost a quarter of it, the engine leaves
    the others to later turns.
    """

    def __init__(self, cost_limit: int = DEFAULT.cel_cost) -> None:
        self._limit = cost_limit
        self._turn = 0
        self._node = 0

    @property
    def cost(self) -> int:
        """Return the cost of the turn's expressions so far."""
        return self._turn

    @property
    def spent(self) -> bool:
        """Tell whether the turn has used up its budget."""
        return self._turn >= self._limit // 4

    def begin_node(self) -> None:
        """Mark the start of another node's expressions."""
        self._node = 0

    def __call__(self, expression: str, variables: Mapping[str, Any]) -> Any:
        """Return the JSON value of an expression; see `evaluate`."""
        cost = cost_of(expression, variables)
        self._node += cost
        self._turn += min(cost, self._limit)
        return _evaluate(expression, variables, self._node, self._limit)


def evaluate(
    expression: str, variables: Mapping[str, Any], cost_limit: int = DEFAULT.cel_cost
) -> Any:
    """Return the JSON value of a CEL expression over `variables` (JSON values by name).

    Raises:
        ExpressionError: The expression cannot be parsed, not be evaluated over these values, or would cost too much.
    """
    return _evaluate(expression, variables, cost_of(expression, variables), cost_limit)


def cost_of(expression: str, variables: Mapping[str, Any]) -> int:
    """Return the upper bound of an evaluation's cost; 0 for an unparsable expression, which `evaluate` reports."""
    try:
        _, shape = _compile(expression)
    except Exception:
        return 0
    return shape.cost(variables)


def _evaluate(expression: str, variables: Mapping[str, Any], cost: int, cost_limit: int) -> Any:
    try:
        if cost > cost_limit:
            raise ValueError(
                f"it may cost {cost}; the limit cel_cost is {cost_limit}: its values are too large for it"
            )
        program, _ = _compile(expression)
        return program.execute(dict(variables))
    # The library raises many kinds of errors, Rust panics included: in any case, the expression has no value.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            raise
        raise ExpressionError(
            f"expression {expression!r} over {_shown(variables)}: {_reason(error)}"
        ) from error


def _shown(variables: Mapping[str, Any]) -> str:
    try:
        return canonical.dumps(variables)[:500]
    except InvalidValue:
        return ascii(variables)[:500]


def _reason(error: BaseException) -> str:
    """Return the library's reason, with an explanation where it only names a key."""
    if isinstance(error, KeyError):
        return f"there is no key {error}"
    return str(error) or type(error).__name__


def check(expression: str) -> str:
    """Describe the syntax error of an expression; empty when it can be parsed."""
    try:
        _compile(expression)
    except Exception as error:
        return f"expression {expression!r}: {error}"
    return ""


@lru_cache(maxsize=4_096)
def _compile(expression: str) -> tuple[Any, Shape]:
    if len(expression) > EXPRESSION_CHARACTERS:
        raise ValueError(f"longer than {EXPRESSION_CHARACTERS} characters")
    return _cel.compile(expression), shape_of(expression)
