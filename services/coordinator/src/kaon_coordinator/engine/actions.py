"""What the engine wants done outside of it.

Two kinds. What belongs to the decision (`SubmitChild`, `TellRun`, `RememberStep`, `ReleasePermits`) is in the transaction of
the events. Everything else happens after that transaction, and losing it is harmless: each is derivable from the state (see
`engine.rows.resume`), a READY step without a holder is requested again, a stale renewal is revoked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from kaon_coordinator.engine.issue import StepIssue
from kaonapi.run.v1 import command_pb2


@dataclass(frozen=True, kw_only=True)
class RequestStep:
    """Ask the pool's matcher for a runner for this READY step."""

    path: str


@dataclass(frozen=True, kw_only=True)
class EndStep:
    """Tell the pool's matcher that this issue of the step needs no runner any more."""

    issue: StepIssue


class RevokeReason(StrEnum):
    """Why a runner must stop."""

    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    STALE_LEASE = "stale_lease"


@dataclass(frozen=True, kw_only=True)
class RevokeLease:
    """Tell one life of a runner to stop executing this issue of the step."""

    issue: StepIssue
    incarnation: str
    reason: RevokeReason


@dataclass(frozen=True, kw_only=True)
class GrantLease:
    """Tell the holder of an exclusive step that it may begin: nothing of an earlier attempt can be running any more."""

    issue: StepIssue
    incarnation: str


@dataclass(frozen=True, kw_only=True)
class SignalHolder:
    """Hand a signal to the runner that holds this step. The same signal may be handed over twice; `seq` tells."""

    issue: StepIssue
    incarnation: str
    name: str
    # Canonical JSON.
    payload_json: str
    seq: int


@dataclass(frozen=True, kw_only=True)
class WatchRetry:
    """Send `RetryDue` at `due_us` (microseconds since the epoch)."""

    issue: StepIssue
    due_us: int


@dataclass(frozen=True, kw_only=True)
class WatchAttempt:
    """A runner has become the holder: expect renewals, and send `AttemptTimedOut` when the attempt takes longer than allowed."""

    issue: StepIssue
    incarnation: str
    # Microseconds since the epoch; 0 means without limit.
    timeout_us: int


class Timer(StrEnum):
    """What falls due."""

    # The time of a run (empty path), block or step is over.
    TIMEOUT = "timeout"
    # A run or block is late.
    DEADLINE = "deadline"
    # A gate has waited long enough.
    GATE = "gate"
    # A repeat's next iteration.
    ITERATION = "iteration"
    # An exclusive step may be granted.
    GRANT = "grant"


@dataclass(frozen=True, kw_only=True)
class WatchTime:
    """Send `Due` with the same content at `due_us` (microseconds since the epoch)."""

    timer: Timer
    path: str
    due_us: int


@dataclass(frozen=True, kw_only=True)
class Continue:
    """Send `Continued` in the next turn: the node at this path can go on, and one decision should not do it all at once."""

    path: str


@dataclass(frozen=True, kw_only=True)
class ReadItems:
    """Read the items of a foreach from an artifact of JSON lines; answer with `ItemsRead` or `Unprepared`."""

    path: str
    # Sequence number of the run's newest event; the answer brings it back.
    asked: int
    # The artifact's reference, canonical JSON: {"artifact": {...}}.
    artifact_json: str


@dataclass(frozen=True, kw_only=True)
class WriteManifests:
    """Keep inputs of a step that are too large to travel as artifacts; answer with `ManifestsWritten` or `Unprepared`."""

    path: str
    # Sequence number of the run's newest event; the answer brings it back.
    asked: int
    # Canonical JSON by input name. Lists become JSON lines, one element a line.
    values: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class LookUpMemo:
    """Look for an equal execution. Answer with `MemoFound` (its artifacts exist, not older than `max_age_ms`, not of this
    run) or `MemoMissed`."""

    path: str
    # Sequence number of the run's newest event; the answer brings it back.
    asked: int
    # Digest of type, code, settings, environment and inputs.
    key: str
    # 0 means any age.
    max_age_ms: int


@dataclass(frozen=True, kw_only=True)
class RememberStep:
    """Keep the outputs of this step for equal executions. Same transaction."""

    path: str
    key: str
    # Canonical JSON by output name.
    outputs: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class TakePermits:
    """Take one permit of every key, all or none, for this step (or, with an empty path, this run); answer with `PermitsGranted` as
    soon as that worked. Taking again what is held already works at once."""

    path: str
    # Sequence number of the run's newest event; the answer brings it back.
    asked: int
    # A tag's key is "tag:<tag>", a workflow's "workflow:<name>", a backfill's "backfill:<name>". A key without a bound is free.
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ReleasePermits:
    """Give back what the step (or the run, with an empty path) holds, if anything. Same transaction."""

    path: str


@dataclass(frozen=True, kw_only=True)
class PrepareChild:
    """Look the workflow up, check and complete the parameters; answer with `ChildPrepared` or `Unprepared`."""

    path: str
    # Sequence number of the run's newest event; the answer brings it back.
    asked: int
    workflow: str
    # Empty means the current one.
    version: str
    # Canonical JSON by name.
    params: Mapping[str, str]
    # The run that is to go on, if it can, in place of a new one; empty when there is none.
    continues: str = ""


@dataclass(frozen=True, kw_only=True)
class SubmitChild:
    """Submit the run of a sub-workflow block, with this run as its parent. Same transaction."""

    path: str
    child_run_id: str
    workflow: str
    version: str
    params: Mapping[str, str]
    priority: int
    # How many runs are around the child.
    depth: int


@dataclass(frozen=True, kw_only=True)
class TellRun:
    """Put a command into another run's inbox. Same transaction."""

    run_id: str
    command: command_pb2.RunCommand


# Written in the transaction of the events.
Durable: TypeAlias = SubmitChild | TellRun | RememberStep | ReleasePermits

Action: TypeAlias = (
    RequestStep
    | EndStep
    | RevokeLease
    | GrantLease
    | SignalHolder
    | WatchRetry
    | WatchAttempt
    | WatchTime
    | Continue
    | ReadItems
    | WriteManifests
    | LookUpMemo
    | TakePermits
    | PrepareChild
    | Durable
)
