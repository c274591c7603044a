"""The rows that store a run's state.

Counters are not stored: they follow from the statuses, so they cannot disagree with them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """One step instance. Times are microseconds since the epoch, 0 when they have not come."""

    path: str
    # Order of creation within the run.
    position: int
    name: str
    # A `kaonapi.run.v1.Status`.
    status: int
    attempt: int
    generation: int
    runner_id: str
    incarnation: str
    ready_us: int
    start_us: int
    end_us: int
    retry_us: int
    # Canonical JSON of all fields that no query uses.
    data: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockRow:
    """One instance of a block, or one of its cells."""

    # A cell's key; for a group's body, the path of its block and a slash.
    path: str
    position: int
    # "for_each", "repeat", "branch", "group", "sub_workflow", "gate" or "cell".
    kind: str
    status: int
    # Canonical JSON.
    data: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRow:
    """The run itself, as its owner updates it."""

    run_id: str
    status: int
    # Sequence number of the newest event.
    seq: int
    start_us: int
    end_us: int
    # Canonical JSON of the error's fields; empty when there is none.
    error: str
    cancel_requested: bool
    steps_total: int
    steps_succeeded: int
    priority: int = 0
    # Canonical JSON of the outputs by name; empty when there are none.
    outputs: str = ""
    # Canonical JSON of all fields that no query uses.
    data: str = ""
