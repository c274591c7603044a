"""The operators between values. An integer and a double mix: the result is a double."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from kaon_wire.cel.budget import CHARACTERS, Budget
from kaon_wire.cel.errors import CelError
from kaon_wire.cel.values import LEAST, MOST, equal, kind_of, weight_of

Operator: TypeAlias = Callable[[Any, Any, Budget], Any]
NUMBERS = frozenset({"int", "double"})
_NUMBERS = (int, float)
ORDERED = ("string", "bytes", "timestamp", "duration", "bool")
COMPARISONS = ("<", "<=", ">", ">=")


def whole(value: int) -> int:
    """Return an integer that fits into 64 bits.

    Raises:
        CelError: It does not fit.
    """
    if not LEAST <= value <= MOST:
        raise CelError(f"integer overflow: it must be from {LEAST} to {MOST}")
    return value


def no_operator(sign: str, left: str, right: str) -> CelError:
    """Return the error for operands of kinds that do not go together."""
    return CelError(
        f"there is no {left} {sign} {right}: convert one of them, with string(x), int(x) or double(x)"
    )


def add(left: Any, right: Any, budget: Budget) -> Any:
    """Add numbers or times; join texts or lists."""
    if _numbers(left, right):
        return _number(left + right)
    if type(left) is type(right) and isinstance(left, str | bytes | list):
        size = len(left) + len(right)
        budget.charge(size if isinstance(left, list) else size // CHARACTERS)
        return left + right
    if isinstance(left, datetime | timedelta) and isinstance(right, datetime | timedelta):
        return _times(operator.add, "+", left, right)
    raise no_operator("+", kind_of(left), kind_of(right))


def subtract(left: Any, right: Any, budget: Budget) -> Any:
    """Subtract numbers or times."""
    if _numbers(left, right):
        return _number(left - right)
    if isinstance(left, datetime | timedelta) and isinstance(right, datetime | timedelta):
        return _times(operator.sub, "-", left, right)
    raise no_operator("-", kind_of(left), kind_of(right))


def multiply(left: Any, right: Any, budget: Budget) -> Any:
    """Multiply numbers."""
    if _numbers(left, right):
        return _number(left * right)
    raise no_operator("*", kind_of(left), kind_of(right))


def divide(left: Any, right: Any, budget: Budget) -> Any:
    """Divide numbers; the quotient of two integers is an integer, rounded towards zero."""
    if not _numbers(left, right):
        raise no_operator("/", kind_of(left), kind_of(right))
    if isinstance(left, float) or isinstance(right, float):
        return left / right if right else left * math.copysign(math.inf, right)
    if right == 0:
        raise CelError("division by zero")
    quotient = abs(left) // abs(right)
    return whole(quotient if (left < 0) == (right < 0) else -quotient)


def remainder(left: Any, right: Any, budget: Budget) -> Any:
    """Return the remainder of a division, with the sign of the left number."""
    if not _numbers(left, right):
        raise no_operator("%", kind_of(left), kind_of(right))
    if right == 0:
        raise CelError("division by zero")
    if isinstance(left, float) or isinstance(right, float):
        return math.fmod(left, right)
    return abs(left) % abs(right) * (1 if left >= 0 else -1)


def _compare(sign: str, compare: Callable[[Any, Any], bool]) -> Operator:
    def compared(left: Any, right: Any, budget: Budget) -> bool:
        if not _numbers(left, right):
            kind = kind_of(left)
            if kind != kind_of(right) or kind not in ORDERED:
                raise no_operator(sign, kind, kind_of(right))
        return compare(left, right)

    return compared


def same(left: Any, right: Any, budget: Budget) -> bool:
    """Tell whether two values are equal."""
    kind = type(left)
    if kind is type(right) and kind not in (list, dict):
        return bool(left == right)
    if kind in (list, dict):
        budget.charge(weight_of(left) * 10)
    return equal(left, right)


def different(left: Any, right: Any, budget: Budget) -> bool:
    """Tell whether two values differ."""
    return not same(left, right, budget)


def contained(left: Any, right: Any, budget: Budget) -> bool:
    """Tell whether a list has an item, or a map a key."""
    if isinstance(right, Mapping):
        return isinstance(left, str | int) and left in right
    if not isinstance(right, list):
        raise CelError(f"{kind_of(left)} in {kind_of(right)}: `in` looks into a list or a map")
    budget.charge(len(right) * 10)
    return any(same(left, each, budget) for each in right)


def negate(value: Any) -> Any:
    """Return the negation of a number or duration."""
    if isinstance(value, int | float | timedelta) and not isinstance(value, bool):
        return whole(-value) if isinstance(value, int) else -value
    raise CelError(f"-{kind_of(value)}: only a number or a duration can be negated")


def truth(value: Any, what: str) -> bool:
    """Return true or false.

    Raises:
        CelError: The value is something else; the message says `what` it is.
    """
    if value is True or value is False:
        return value
    raise CelError(f"{what} must be true or false, not {kind_of(value)}")


def _numbers(left: Any, right: Any) -> bool:
    return type(left) in _NUMBERS and type(right) in _NUMBERS


def _number(value: Any) -> Any:
    return whole(value) if isinstance(value, int) else value


def _times(calculate: Callable[[Any, Any], Any], sign: str, left: Any, right: Any) -> Any:
    try:
        return calculate(left, right)
    except TypeError:
        raise no_operator(sign, kind_of(left), kind_of(right)) from None
    except OverflowError:
        raise CelError("a time is outside of the years 1 to 9999") from None


OPERATORS: Mapping[str, Operator] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
    "<": _compare("<", operator.lt),
    "<=": _compare("<=", operator.le),
    ">": _compare(">", operator.gt),
    ">=": _compare(">=", operator.ge),
    "==": same,
    "!=": different,
    "in": contained,
}
