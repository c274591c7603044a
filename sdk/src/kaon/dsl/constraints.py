"""What a parameter's value must fulfil besides its type: one of its choices, and its check."""

from __future__ import annotations

from collections.abc import Sequence

from kaon_wire import canonical, cel_engine


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
        good = cel_engine.load().evaluate(check, {"value": canonical.loads(text)})
    except (ValueError, TypeError, RuntimeError, KeyError, ArithmeticError) as error:
        return f"parameter {name!r} is {text}, for which {check!r} cannot be told: {error}"
    return None if good is True else f"parameter {name!r} is {text}; it must fulfil {check}"


def syntax_problem(check: str) -> str | None:
    """Describe what is wrong with a check itself; return None when it is valid."""
    try:
        used = set(cel_engine.load().compile(check).variables())
    except (ValueError, TypeError) as error:
        return f"is not a CEL expression: {error}"
    return None if used == {"value"} else "must be over `value` and nothing else"
