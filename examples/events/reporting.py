"""The function of the example of waiting for other workflows."""

from __future__ import annotations


def write(day: str, total: int, run: str) -> dict[str, str]:
    """One line for the day."""
    return {"text": f"{day}: {total} sold, says run {run}"}


def announce(text: str) -> dict[str, str]:
    """What everybody hears."""
    return {"told": f"News: {text}"}
