"""Steps with which a matcher can do nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One step that was dropped because something unforeseen was raised for it; others are matched as if it were not there."""

    run_id: str
    path: str
    # The engine partition that has asked for it.
    partition: int
    error: Exception
