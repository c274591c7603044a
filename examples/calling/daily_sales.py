"""The functions of the example of calls."""

from __future__ import annotations


def load(region: str, day: str) -> dict[str, int]:
    """What takes long in earnest."""
    print(f"loading {region} of {day}")
    return {"rows": len(region) * int(day[-2:])}


def show(run: str) -> None:
    """Say which run refreshes the dashboards."""
    print(f"run {run} refreshes the dashboards")


def refresh(day: str, delay: int) -> dict[str, str]:
    """What nobody waits for."""
    return {"text": f"{day} after {delay}"}
