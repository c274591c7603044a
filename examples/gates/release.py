"""The functions of the example of gates."""

from __future__ import annotations


def load(ratings: list[float]) -> dict[str, float]:
    """The mean of the ratings that came with the signal."""
    return {"mean": sum(ratings) / len(ratings) if ratings else 0.0}


def publish(mean: float, by: str, channel: str) -> dict[str, str]:
    """Says what is published, and who agreed."""
    return {"text": f"mean {mean:.2f}, released by {by or 'nobody'} to {channel}"}
