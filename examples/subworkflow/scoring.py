"""The functions of the example of sub-workflows."""

from __future__ import annotations


def score(region: str) -> dict[str, float]:
    """A score that depends on nothing but the region."""
    return {"score": sum(map(ord, region)) % 100 / 100}


def best(scores: list[float]) -> dict[str, float]:
    """The highest score."""
    return {"best": max(scores)}
