"""The table of status transitions: the engine obeys it, and the diagram in the docs is generated from it."""

from __future__ import annotations

from typing import TypeAlias

from kaonapi.run.v1 import run_pb2

Status: TypeAlias = run_pb2.Status.ValueType

NONE = run_pb2.STATUS_UNSPECIFIED
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
WAITING = run_pb2.STATUS_WAITING
PAUSED = run_pb2.STATUS_PAUSED
SERVING = run_pb2.STATUS_SERVING

# Terminal, unless reset.
TERMINAL = frozenset({SUCCEEDED, FAILED, SKIPPED, CANCELLED, TIMED_OUT, QUARANTINED})

# Counts as a success for the trigger rules of the successors, and satisfies most of them.
GOOD = frozenset({SUCCEEDED, SERVING})
PASSED = GOOD | {SKIPPED}

# A step whose holder executes it, and one that a runner holds.
AT_WORK = frozenset({RUNNING, SERVING})
HELD = AT_WORK | {CANCELLING}

# Fails the enclosing scope.
BROKEN = frozenset({FAILED, TIMED_OUT, QUARANTINED})

_RESET = frozenset({PENDING})

STEP: dict[Status, frozenset[Status]] = {
    # Also while waiting for the next attempt. SUCCEEDED: by memo, or by hand.
    PENDING: frozenset({READY, SKIPPED, FAILED, CANCELLED, TIMED_OUT, SUCCEEDED}),
    # READY again: under a newer generation. TIMED_OUT: no runner was found in time. The others: by hand.
    READY: frozenset({READY, RUNNING, CANCELLED, SKIPPED, TIMED_OUT, SUCCEEDED, FAILED}),
    # READY: its runner was lost. PENDING: waits for its next attempt.
    RUNNING: frozenset(
        {SUCCEEDED, FAILED, PENDING, READY, CANCELLING, TIMED_OUT, QUARANTINED, SKIPPED, SERVING}
    ),
    # As RUNNING; SUCCEEDED, SKIPPED: by hand, or (SKIPPED) it asked for it.
    SERVING: frozenset({SUCCEEDED, FAILED, PENDING, READY, CANCELLING, QUARANTINED, SKIPPED}),
    # SUCCEEDED or FAILED: it ended before the stop reached it. PENDING: the attempt was stopped by its
    # time-out.
    CANCELLING: frozenset({CANCELLED, TIMED_OUT, SKIPPED, SUCCEEDED, FAILED, PENDING}),
    **dict.fromkeys((SUCCEEDED, FAILED, SKIPPED, CANCELLED, TIMED_OUT, QUARANTINED), _RESET),
}

BLOCK: dict[Status, frozenset[Status]] = {
    PENDING: frozenset({RUNNING, WAITING, SKIPPED, FAILED, CANCELLED, SUCCEEDED}),
    RUNNING: frozenset({SUCCEEDED, FAILED, CANCELLED, SKIPPED, TIMED_OUT}),
    # A gate.
    WAITING: frozenset({SUCCEEDED, FAILED, CANCELLED, SKIPPED, TIMED_OUT}),
    # RUNNING: a node inside was reset.
    **dict.fromkeys((SUCCEEDED, FAILED, SKIPPED, CANCELLED, TIMED_OUT), _RESET | {RUNNING}),
}

RUN: dict[Status, frozenset[Status]] = {
    # PAUSED and the following: also when it was reopened and waits for its permits. SUCCEEDED, FAILED: by
    # hand.
    PENDING: frozenset({RUNNING, CANCELLING, CANCELLED, PAUSED, SUCCEEDED, FAILED, TIMED_OUT}),
    # CANCELLED: one of its blocks was cancelled.
    RUNNING: frozenset({SUCCEEDED, FAILED, TIMED_OUT, CANCELLING, CANCELLED, PAUSED}),
    # PENDING: it was paused before it held its permits.
    PAUSED: frozenset({PENDING, RUNNING, CANCELLING, CANCELLED, SUCCEEDED, FAILED, TIMED_OUT}),
    CANCELLING: frozenset({CANCELLED, FAILED, TIMED_OUT, SUCCEEDED}),
    # A node inside was reset. PENDING: it waits for its permits.
    **dict.fromkeys((SUCCEEDED, FAILED, CANCELLED, TIMED_OUT), frozenset({RUNNING, PENDING})),
}


class IllegalTransition(AssertionError):
    """The engine violated its own table of transitions: a defect, never bad input."""


def check(table: dict[Status, frozenset[Status]], path: str, old: Status, new: Status) -> None:
    """Raise IllegalTransition when `new` may not follow `old`."""
    if new not in table.get(old, frozenset()):
        raise IllegalTransition(
            f"{path or 'run'}: {run_pb2.Status.Name(old)} -> {run_pb2.Status.Name(new)}"
        )


def diagram(table: dict[Status, frozenset[Status]]) -> str:
    """Return the table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    for old, targets in table.items():
        lines += [f"    {short(old)} --> {short(new)}" for new in sorted(targets)]
    return "\n".join(lines)


def short(status: Status) -> str:
    """Return the name of a status without its prefix."""
    return run_pb2.Status.Name(status).removeprefix("STATUS_")
