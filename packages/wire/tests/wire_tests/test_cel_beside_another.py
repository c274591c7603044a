"""Our CEL beside another implementation: both give the same values, except where ours is meant to differ."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from types import ModuleType
from typing import Any

import pytest

from kaon_wire.cel.budget import Budget
from kaon_wire.cel.errors import CelError
from kaon_wire.cel.program import program
from kaon_wire.cel.values import plain

from .random_expressions import VARIABLES, RandomExpressions

# The package loads its command line otherwise, and with it a toolkit for terminals.
sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))
other = importlib.import_module("cel")

EXPRESSIONS = 3_000
# How the errors of the other implementation begin where ours has a value, and of ours where the other has one.
OURS_HAS_A_VALUE = {
    "Unsupported operation": "an int and a double mix",
    "No such overload": "an int and a double mix",
    "Undefined variable or function: 'string'": "string() takes true and false",
    "Value of type": "nothing but texts is in a map, and one may ask",
}
OURS_HAS_NONE = {
    "there is no list + map": "the other adds the keys",
    "-bool: ": "the other takes two signs for none, whatever stands behind them",
    "the operand of !": "the other takes two signs for none, whatever stands behind them",
    "integer overflow": "the other gives the least number for its negation",
}


def ours(expression: str) -> Any:
    """Return the value, or the error."""
    try:
        ready = program(expression)
        return ready.value({name: VARIABLES[name] for name in ready.variables}, Budget(10**8))
    except CelError as error:
        return error


def others(expression: str) -> Any:
    try:
        return plain(other.evaluate(expression, dict(VARIABLES)))
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        return error


def alike(one: Any, another: Any) -> bool:
    """Tell whether two results are the same value of the same type, or both errors."""
    if isinstance(one, Exception) or isinstance(another, Exception):
        return isinstance(one, Exception) and isinstance(another, Exception)
    # NaN is written alike, too.
    return repr(one) == repr(another)


def reason(one: Any, another: Any) -> str:
    """Return why two results differ that are meant to; empty without a reason."""
    if isinstance(another, Exception):
        told, reasons = str(another), OURS_HAS_A_VALUE
    else:
        told, reasons = str(one), OURS_HAS_NONE
    return next((why for start, why in reasons.items() if told.startswith(start)), "")


def test_random_expressions_have_the_same_values_except_where_ours_are_meant_to_differ() -> None:
    found: Counter[str] = Counter()
    for seed in range(EXPRESSIONS):
        expression = RandomExpressions(seed).expression()
        one, another = ours(expression), others(expression)
        if alike(one, another):
            found["no value" if isinstance(one, Exception) else "a value"] += 1
            continue
        why = reason(one, another)
        assert why, f"{expression}: ours gives {one!r}, the other {another!r}"
        found[why] += 1
    assert found["a value"] > EXPRESSIONS // 3
    assert found["no value"] > EXPRESSIONS // 10
    assert {*OURS_HAS_A_VALUE.values(), *OURS_HAS_NONE.values()} <= found.keys()


@pytest.mark.parametrize(
    ("expression", "mine", "another"),
    [
        # Ours counts characters, as the language does.
        ("size('\u00e4')", 1, 2),
        ("string(double(9223372036854775807))", "9223372036854775808", "9223372036854776000"),
        ("string(1.5 / 1e10)", "1.5e-10", "0.00000000015"),
        # Numbers of JSON may be doubles.
        ("['a', 'b'][1.0] == 'b'", True, None),
    ],
)
def test_values_that_are_meant_to_differ(expression: str, mine: object, another: object) -> None:
    found = others(expression)
    assert ours(expression) == mine
    assert (None if isinstance(found, Exception) else found) == another


@pytest.mark.parametrize("expression", ["1.5 / -0.0", "-1.5 / -0.0", "1.5 / 0", "-1.5 / 0.0"])
def test_a_double_is_divided_by_zero_as_floating_point_numbers_are(expression: str) -> None:
    sign = expression.count("-") % 2
    assert ours(expression) == float("-inf" if sign else "inf")
