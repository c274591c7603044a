"""Evaluates CEL, the Common Expression Language: bounded, without side effects, never `eval`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaon_coordinator.engine.definition.limits import DEFAULT
from kaon_wire import canonical
from kaon_wire.cel import program as cel
from kaon_wire.cel.budget import Budget
from kaon_wire.cel.errors import CelError, TooCostly
from kaon_wire.errors import InvalidValue, KaonError


class ExpressionError(KaonError):
    """An expression has no value; the text has the expression, its values and the reason."""


class Meter:
    """Evaluates the expressions of one turn of the engine, and counts their costs.

    An evaluation blocks everything else. So neither one expression nor all those of one node may cost more
    than the limit. When those of a turn have cost a quarter of it, the engine leaves the others to later turns.
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
        budget = Budget(self._limit, self._node)
        try:
            return _evaluate(expression, variables, budget)
        finally:
            self._turn += min(budget.spent - self._node, self._limit)
            self._node = budget.spent


def evaluate(
    expression: str, variables: Mapping[str, Any], cost_limit: int = DEFAULT.cel_cost
) -> Any:
    """Return the JSON value of a CEL expression over `variables` (JSON values by name).

    Raises:
        ExpressionError: The expression cannot be parsed, not be evaluated over these values, or costs too much.
    """
    return _evaluate(expression, variables, Budget(cost_limit))


def _evaluate(expression: str, variables: Mapping[str, Any], budget: Budget) -> Any:
    try:
        return cel.program(expression).value(variables, budget)
    except (CelError, TooCostly) as error:
        raise ExpressionError(
            f"expression {expression!r} over {_shown(variables)}: {error}"
        ) from error


def _shown(variables: Mapping[str, Any]) -> str:
    try:
        return canonical.dumps(variables)[:500]
    except InvalidValue:
        return ascii(variables)[:500]


def check(expression: str, variables: Mapping[str, str] | None = None) -> str:
    """Describe what is wrong with an expression over variables of these kinds; empty when nothing is."""
    return cel.problem(expression, variables)
