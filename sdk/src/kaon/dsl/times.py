"""Time-outs and deadlines of blocks."""

from __future__ import annotations

from typing import Any, TypedDict

from kaon.dsl.later import Later
from kaon.dsl.policies import milliseconds
from kaon.dsl.source import Source


class Times(TypedDict):
    """The fields of a block for its time-out and its deadline, and all of its policies that are known only later."""

    timeout_ms: int
    deadline_ms: int
    bound: dict[str, Any]


def times(later: Later, timeout: object, deadline: object, what: str, source: Source) -> Times:
    """Return the times of a block.

    Raises:
        WorkflowError: one of them is no duration.
    """
    waits = later.take("timeout_ms", timeout, 0)
    late = later.take("deadline_ms", deadline, 0)
    return Times(
        timeout_ms=milliseconds(waits, f"{what}: timeout", source),
        deadline_ms=milliseconds(late, f"{what}: deadline", source),
        bound=later.values,
    )
