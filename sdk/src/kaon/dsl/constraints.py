"""What a parameter's value must fulfil besides its type: one of its choices, and its check."""

from __future__ import annotations

from typing import Any

from kaon.dsl import types
from kaon_wire import canonical, value_types
from kaon_wire.cel.budget import Budget
from kaon_wire.cel.errors import CelError, TooCostly
from kaon_wire.cel.program import program

# What checking one value may cost: what servers allow by default.
_COST = 20_000_000


def problem(name: str, value: Any, shape: value_types.Shaped, check: str) -> str | None:
    """Describe what is wrong with a value; return None when it is valid.

    Args:
        name: the parameter's.
        value: JSON.
        shape: its type and choices.
        check: CEL over `value`; empty for none.
    """
    if wrong := types.fault(value, shape) or value_types.choice_fault(value, shape):
        return f"parameter {name!r} {wrong}"
    if not check or value is None:
        return None
    text = canonical.dumps(value)
    try:
        native = {"value": value_types.native(value, shape)}
        good = program(check).value(native, Budget(_COST))
    except (CelError, TooCostly) as error:
        return f"parameter {name!r} is {text}, for which {check!r} cannot be told: {error}"
    return None if good is True else f"parameter {name!r} is {text}; it must fulfil {check}"


def syntax_problem(check: str, kind: str) -> str | None:
    """Describe what is wrong with a check of values of a kind; return None when it is valid."""
    try:
        ready = program(check)
    except CelError as error:
        return f"is not a CEL expression: {error}"
    if ready.variables != {"value"}:
        return "must be over `value` and nothing else"
    try:
        found = ready.kind({"value": kind})
    except CelError as error:
        return f"is wrong: {error}"
    return None if found in ("bool", "any") else f"gives {found}; it must give true or false"
