"""Steps of workflows that are submitted without a person."""

from __future__ import annotations

from typing import Any


def note(what: str) -> dict[str, Any]:
    """Gives back what it was given."""
    return {"said": what}
