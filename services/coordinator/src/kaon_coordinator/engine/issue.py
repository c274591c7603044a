"""The fencing key of a step."""

from __future__ import annotations

from typing import NamedTuple


class StepIssue(NamedTuple):
    """An issue of a step of one run: what is requested, released, held and reported."""

    path: str
    # 1-based.
    attempt: int
    # The fencing token.
    generation: int
