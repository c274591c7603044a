"""Expressions that are ready to be evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from kaon_wire.cel import checking, nodes
from kaon_wire.cel.budget import NODE, Budget
from kaon_wire.cel.errors import CelError, TooCostly
from kaon_wire.cel.evaluation import BUDGET, Evaluate, evaluator
from kaon_wire.cel.parsing import parse
from kaon_wire.cel.values import TYPES, TypeName, plain, weight_of

# Of one expression.
EXPRESSION_CHARACTERS = 4_096
# Going once through a variable's value, which reading it has cost.
_TAKE_OVER = 6
# A text of so many characters in a result costs one unit: it is written as JSON.
_WRITTEN = 4


@dataclass(frozen=True, kw_only=True)
class Program:
    """An expression that can be parsed."""

    tree: nodes.Node
    # The names that it needs values for.
    variables: frozenset[str]
    _evaluate: Evaluate
    _cost: int

    def kind(self, variables: Mapping[str, str]) -> str:
        """Return the kind of the value over variables of these kinds; "any" when it is not known.

        Raises:
            CelError: A name is not known, or an operator or a function does not take such values.
        """
        return checking.check(self.tree, variables)

    def value(self, variables: Mapping[str, Any], budget: Budget) -> Any:
        """Return the JSON value over JSON values.

        Raises:
            CelError: There is none.
            TooCostly: The budget is used up.
        """
        budget.charge(self._cost + _TAKE_OVER * sum(map(weight_of, variables.values())))
        try:
            value = self._evaluate({**variables, BUDGET: budget})
            return plain(value) if _taken(value, budget) else value
        except (CelError, TooCostly):
            raise
        except (ArithmeticError, ValueError, TypeError, LookupError, RecursionError) as error:
            raise CelError(f"{type(error).__name__}: {error}") from error


def _taken(value: Any, budget: Budget) -> bool:
    """Charge for writing a result, in which one value may stand many times; tell whether JSON lacks a kind in it."""
    other, stack = False, [value]
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            budget.charge(_TAKE_OVER * len(each))
            stack += each
        elif isinstance(each, dict):
            budget.charge(2 * _TAKE_OVER * len(each))
            stack += each.values()
        elif isinstance(each, str):
            budget.charge(len(each) // _WRITTEN)
            other = other or isinstance(each, TypeName)
        elif isinstance(each, datetime | timedelta):
            other = True
    return other


@lru_cache(maxsize=4_096)
def program(expression: str) -> Program:
    """Return the program of an expression.

    Raises:
        CelError: The expression is too long, or cannot be parsed.
    """
    if len(expression) > EXPRESSION_CHARACTERS:
        raise CelError(f"longer than {EXPRESSION_CHARACTERS} characters")
    tree = parse(expression)
    return Program(
        tree=tree,
        variables=frozenset(nodes.variables(tree) - TYPES.keys()),
        _evaluate=evaluator(tree),
        _cost=NODE * nodes.size(tree),
    )


def problem(expression: str, variables: Mapping[str, str] | None = None) -> str:
    """Describe what is wrong with an expression; empty when nothing is.

    Args:
        expression: The expression.
        variables: The kinds of its variables; without them, every variable may have any value.
    """
    try:
        ready = program(expression)
        known = dict.fromkeys(ready.variables, checking.ANY) if variables is None else variables
        ready.kind(known)
    except CelError as error:
        return f"expression {expression!r}: {error}"
    return ""
