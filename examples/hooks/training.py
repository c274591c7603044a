"""The functions of the example of hooks."""

from __future__ import annotations


def prepare(rows: int) -> dict[str, str]:
    """Makes a table, so to speak."""
    return {"table": f"temporary_{rows}"}


def train(table: str) -> dict[str, float]:
    """Needs rows."""
    rows = int(table.removeprefix("temporary_"))
    if not rows:
        raise ValueError("there are no rows to train on")
    return {"score": 1 - 1 / rows}


def alert(run: str, error: dict[str, str]) -> None:
    """Tells somebody."""
    print(f"run {run} failed: {error['message']}")


def clean_up(table: str | None, status: str) -> None:
    """Removes the table, if it was made."""
    print(f"{status}: removed {table or 'nothing'}")
