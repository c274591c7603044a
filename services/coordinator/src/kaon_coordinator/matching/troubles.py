"""Steps that a matcher cannot handle."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One step that was dropped because of an unforeseen error; the others are matched as if it did not exist."""

    run_id: str
    path: str
    # The engine partition of its run.
    partition: int
    error: Exception
