"""What a parameter's value must fulfil besides its type: one of its choices, and its check."""

from __future__ import annotations

from collections.abc import Sequence

from kaon_wire import canonical
from kaon_wire.cel.budget import Budget
from kaon_wire.cel.errors import CelError, TooCostly
from kaon_wire.cel.program import program

# What checking one value may cost: what servers allow by default.
_COST = 20_000_000


def problem(name: str, text: str, *, choices_json: Sequence[str], check: str) -> str | None:
    """Describe what is wrong with a value of the right type; return None when it is valid.

    Args:
        name: the parameter's.
        text: the value, canonical JSON.
        choices_json: canonical JSON of the values allowed; empty for all.
        check: CEL over `value`; empty for none.
    """
    if choices_json and text not in choices_json:
        return f"parameter {name!r} is {text}; it must be one of {', '.join(choices_json)}"
    if not check:
        return None
    try:
        good = program(check).value({"value": canonical.loads(text)}, Budget(_COST))
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
