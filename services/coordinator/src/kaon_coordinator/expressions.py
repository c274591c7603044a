"""Evaluates CEL, the Common Expression Language: bounded, without side effects, never `eval`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import cel

from kaon_coordinator.engine.limits import DEFAULT
from kaon_coordinator.expression_cost import Shape, shape_of
from kaon_wire import canonical
from kaon_wire.errors import KaonError

MAX_LENGTH = 4_096


class ExpressionError(KaonError):
    """An expression has no value; the text has the expression, its values and the reason."""


def evaluate(expression: str, variables: Mapping[str, Any], cost_limit: int = DEFAULT.cel_cost) -> Any:
    """The JSON value of a CEL expression over `variables` (JSON values by name).

    Raises:
        ExpressionError: it cannot be parsed, not be evaluated over these values, or would cost too much.
    """
    try:
        program, shape = _compile(expression)
        cost = shape.cost(variables)
        if cost > cost_limit:
            raise ValueError(
                f"it may cost {cost}; the limit cel_cost is {cost_limit}: its lists are too long for it"
            )
        return program.execute(dict(variables))
    except (ValueError, TypeError, RuntimeError, KeyError, ArithmeticError) as error:
        values = canonical.dumps(variables)[:500]
        raise ExpressionError(f"expression {expression!r} over {values}: {error}") from error


def check(expression: str) -> str:
    """What is wrong with an expression's form; empty when it can be parsed."""
    try:
        _compile(expression)
    except (ValueError, TypeError, RuntimeError) as error:
        return f"expression {expression!r}: {error}"
    return ""


@lru_cache(maxsize=4_096)
def _compile(expression: str) -> tuple[Any, Shape]:
    if len(expression) > MAX_LENGTH:
        raise ValueError(f"longer than {MAX_LENGTH} characters")
    return cel.compile(expression), shape_of(expression)
