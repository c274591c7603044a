"""Which status may follow which: the one table that the engine obeys and from which the diagram in the docs is drawn."""

from __future__ import annotations

from typing import TypeAlias

from kaonapi.run.v1 import run_pb2

Status: TypeAlias = run_pb2.Status.ValueType

PENDING = run_pb2.STATUS_PENDING
READY = run_pb2.STATUS_READY
RUNNING = run_pb2.STATUS_RUNNING
SUCCEEDED = run_pb2.STATUS_SUCCEEDED
FAILED = run_pb2.STATUS_FAILED
SKIPPED = run_pb2.STATUS_SKIPPED
CANCELLING = run_pb2.STATUS_CANCELLING
CANCELLED = run_pb2.STATUS_CANCELLED
TIMED_OUT = run_pb2.STATUS_TIMED_OUT
QUARANTINED = run_pb2.STATUS_QUARANTINED

# What has ended for good.
TERMINAL = frozenset({SUCCEEDED, FAILED, SKIPPED, CANCELLED, TIMED_OUT, QUARANTINED})

# What lets the blocks behind it start.
PASSED = frozenset({SUCCEEDED, SKIPPED})

# What makes the scope around it fail.
BROKEN = frozenset({FAILED, TIMED_OUT, QUARANTINED})

STEP: dict[Status, frozenset[Status]] = {
    # Also while it waits for its next attempt.
    PENDING: frozenset({READY, SKIPPED, FAILED, CANCELLED}),
    # READY again: under a newer generation, after a release was handed back.
    READY: frozenset({READY, RUNNING, CANCELLED}),
    # READY: its runner was lost. PENDING: it waits for its next attempt.
    RUNNING: frozenset({SUCCEEDED, FAILED, PENDING, READY, CANCELLING, TIMED_OUT, QUARANTINED}),
    # SUCCEEDED or FAILED: it ended before the stop reached it.
    CANCELLING: frozenset({CANCELLED, TIMED_OUT, SUCCEEDED, FAILED}),
}

BLOCK: dict[Status, frozenset[Status]] = {
    PENDING: frozenset({RUNNING, SKIPPED, FAILED, CANCELLED}),
    RUNNING: frozenset({SUCCEEDED, FAILED, CANCELLED, SKIPPED}),
}

RUN: dict[Status, frozenset[Status]] = {
    PENDING: frozenset({RUNNING, CANCELLED}),
    RUNNING: frozenset({SUCCEEDED, FAILED, CANCELLING}),
    CANCELLING: frozenset({CANCELLED, FAILED}),
}


class IllegalTransition(AssertionError):
    """The engine's own rules were broken: a defect, never bad input."""


def check(table: dict[Status, frozenset[Status]], path: str, old: Status, new: Status) -> None:
    """Raises IllegalTransition when `new` may not follow `old`."""
    if new not in table.get(old, frozenset()):
        raise IllegalTransition(f"{path or 'run'}: {run_pb2.Status.Name(old)} -> {run_pb2.Status.Name(new)}")


def diagram(table: dict[Status, frozenset[Status]]) -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    for old, targets in table.items():
        lines += [f"    {_short(old)} --> {_short(new)}" for new in sorted(targets)]
    return "\n".join(lines)


def _short(status: Status) -> str:
    return run_pb2.Status.Name(status).removeprefix("STATUS_")
