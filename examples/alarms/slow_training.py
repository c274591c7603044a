"""The functions of the example of hooks beside a step."""

from __future__ import annotations

import os
import time
from pathlib import Path


def train(place: str, seconds: float) -> dict[str, float]:
    """Fails the first time, and is slow the second time."""
    tried = Path(place or os.getcwd(), "tried")
    if not tried.exists():
        tried.touch()
        raise ConnectionError("the warehouse did not answer")
    time.sleep(seconds)
    return {"score": 0.9}


def say(text: str) -> None:
    """Tell somebody."""
    print(text)


def remove(table: str) -> None:
    """Remove what nobody needs; here it is gone already."""
    raise FileNotFoundError(table)
