"""A dataset of JSON lines, each of which becomes a cell with a value of some size."""

from __future__ import annotations

import json

from kaon.step import StepContext

_PADDING = "." * 100


def make(context: StepContext, count: int) -> None:
    """Writes the lines."""
    lines = (json.dumps({"name": f"row-{number}", "value": number}) for number in range(count))
    context.artifact_path("rows").write_text("\n".join(lines) + "\n")


def double(row: dict[str, int]) -> dict[str, dict[str, object]]:
    """Twice the value, and enough beside it that the list of all is too long to travel."""
    return {"result": {"twice": row["value"] * 2, "padding": _PADDING}}


def total(results: list[dict[str, int]]) -> dict[str, int]:
    """The sum."""
    return {"total": sum(result["twice"] for result in results)}
