"""Figures with their goals, and the table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure.

    Attributes:
        most: the goal: the value may be this at most.
        note: what else is to be known about it.
    """

    name: str
    value: float
    unit: str
    most: float
    note: str = ""

    @property
    def line(self) -> str:
        """One line of the table."""
        verdict = "met" if self.value <= self.most else "MISSED"
        return (
            f"{self.name:44} {self.value:10.1f} {self.unit:5} <= {self.most:7.1f}  {verdict:6}"
            f"  {self.note}".rstrip()
        )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all lies below."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def thread_seconds(session: Any) -> float:
    """Return the CPU seconds of a page's main thread; its metrics are enabled with the time domain "threadTicks"."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))
