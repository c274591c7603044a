"""The functions of the example of policies that are values of the run."""

from __future__ import annotations


def plan(zones: dict[str, int]) -> dict[str, object]:
    """Say how the training of these zones goes: what takes more thought in earnest."""
    return {"limit": "2m" if len(zones) < 5 else "10m", "at_once": min(len(zones), 4)}


def train(zone: str) -> dict[str, float]:
    """Train the model of a zone."""
    return {"rmse": round(1 / len(zone), 3)}
