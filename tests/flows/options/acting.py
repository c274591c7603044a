"""Steps for the tests of options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kaon.step import StepContext


def give(value: Any) -> dict[str, Any]:
    """Its input."""
    return {"value": value}


def count(context: StepContext) -> dict[str, int]:
    """The number of the pass."""
    return {"value": context.iteration}


def fail(kind: str) -> None:
    """Raises an error of a kind."""
    raise {"ValueError": ValueError, "OSError": OSError}[kind](f"a {kind} of the test")


def stay(context: StepContext, *, note: str = "") -> dict[str, Any]:
    """Runs until it is told to go; notes when it comes and goes."""
    _note(note, "+")
    signal = context.wait_signal("go")
    _note(note, "-")
    return {"value": None if signal is None else signal.payload}


def pass_by(note: str) -> None:
    """Notes when it comes and goes, and stays for a moment in between."""
    _note(note, "+")
    sum(number * number for number in range(300_000))
    _note(note, "-")


def _note(note: str, sign: str) -> None:
    if note:
        with Path(note).open("a", encoding="utf-8") as file:
            file.write(sign)
