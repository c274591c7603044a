"""Actions: the I/O that the engine requests from the shell.

The shell executes `SubmitChild`, `TellRun`, `RememberStep` and `ReleasePermits` in the transaction of the
events. It executes all other actions after that transaction. Losing one of those is harmless, because each is
derivable from the state (see `engine.rows.resume`): a READY step without a holder is requested again, and a
stale renewal is revoked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from kaon_coordinator.engine.issue import StepIssue
from kaonapi.run.v1 import command_pb2, history_pb2, run_pb2


@dataclass(frozen=True, kw_only=True)
class RequestStep:
    """Ask the pool's matcher for a runner for this READY step."""

    path: str


@dataclass(frozen=True, kw_only=True)
class EndStep:
    """Tell the pool's matcher that this issue of the step no longer needs a runner."""

    issue: StepIssue


class RevokeReason(StrEnum):
    """The reason for revoking a lease."""

    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    STALE_LEASE = "stale_lease"
    # A step that serves, and that nothing in its scope needs any more.
    SCOPE_OVER = "scope_over"


@dataclass(frozen=True, kw_only=True)
class RevokeLease:
    """Tell one incarnation of a runner to stop executing this issue of the step."""

    issue: StepIssue
    incarnation: str
    reason: RevokeReason


@dataclass(frozen=True, kw_only=True)
class EndChain:
    """Tell the holder of a step to start nothing by succession after it."""

    issue: StepIssue
    incarnation: str


@dataclass(frozen=True, kw_only=True)
class GrantLease:
    """Allow the holder of an exclusive step to begin: no earlier attempt can still be running."""

    issue: StepIssue
    incarnation: str


@dataclass(frozen=True, kw_only=True)
class SignalHolder:
    """Deliver a signal to the holder of this step.

    The shell may deliver the same signal twice; the runner deduplicates by `seq`.
    """

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
    """Watch a new holder: expect renewals, and send `AttemptTimedOut` when the attempt exceeds its time-out."""

    issue: StepIssue
    incarnation: str
    # Microseconds since the epoch; 0 means no limit.
    timeout_us: int


class Timer(StrEnum):
    """The kinds of timers."""

    # Time-out of a run (empty path), block or step.
    TIMEOUT = "timeout"
    # Deadline of a run, block or step.
    DEADLINE = "deadline"
    # End of a gate's wait.
    GATE = "gate"
    # Start of a repeat's next iteration.
    ITERATION = "iteration"
    # Earliest grant of an exclusive step.
    GRANT = "grant"


@dataclass(frozen=True, kw_only=True)
class WatchTime:
    """Send `Due` with the same content at `due_us` (microseconds since the epoch)."""

    timer: Timer
    path: str
    due_us: int


@dataclass(frozen=True, kw_only=True)
class Continue:
    """Send `Continued` in the next turn.

    The node at this path can go on, but one decision must not do all of its work at once.
    """

    path: str


@dataclass(frozen=True, kw_only=True)
class ReadItems:
    """Read the items of a foreach from a JSON-lines artifact; answer with `ItemsRead` or `Unprepared`."""

    path: str
    # Sequence number of the run's newest event; the answer repeats it.
    asked: int
    # The artifact's reference, canonical JSON: {"artifact": {...}}.
    artifact_json: str


@dataclass(frozen=True, kw_only=True)
class WriteManifests:
    """Store inputs of a step that are too large for a record as artifacts; answer with `ManifestsWritten` or `Unprepared`."""

    path: str
    # Sequence number of the run's newest event; the answer repeats it.
    asked: int
    # Canonical JSON by input name. Lists become JSON lines, one element per line.
    values: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class LookUpMemo:
    """Look up the memo of an equal execution; answer with `MemoFound` or `MemoMissed`.

    A memo counts when its artifacts exist, it is at most `max_age_ms` old, and it belongs to another run.
    """

    path: str
    # Sequence number of the run's newest event; the answer repeats it.
    asked: int
    # Digest of type, code, settings, environment and inputs.
    key: str
    # 0 means no limit.
    max_age_ms: int


@dataclass(frozen=True, kw_only=True)
class RememberStep:
    """Store the outputs of this step as a memo for equal executions, in the transaction of the events."""

    path: str
    key: str
    # Canonical JSON by output name.
    outputs: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class TakePermits:
    """Take one permit per key, all or none, for this step or block, or for the run when the path is empty.

    The answer `PermitsGranted` comes as soon as all permits are free. Permits that are held already are
    granted again at once. A run whose workflow has a submit strategy may get `PermitsRefused` instead.
    """

    path: str
    # Sequence number of the run's newest event; the answer repeats it.
    asked: int
    # A tag's key is "tag:<tag>", a workflow's "workflow:<name>", that of its submit strategy
    # "strategy:<name>", a backfill's "backfill:<name>", a lock's "lock:<name>" or "lock:<name>/<key>". A key
    # without a bound is always free.
    keys: tuple[str, ...]
    # The bounds of locks, by key.
    bounds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReleasePermits:
    """Release all permits of the step, or of the run when the path is empty, in the transaction of the events."""

    path: str


@dataclass(frozen=True, kw_only=True)
class PrepareChild:
    """Resolve the child's workflow and complete its parameters; answer with `ChildPrepared` or `Unprepared`."""

    path: str
    # Sequence number of the run's newest event; the answer repeats it.
    asked: int
    workflow: str
    # Empty means the current version.
    version: str
    # Canonical JSON by parameter name.
    params: Mapping[str, str]
    # Further parameters, for as far as the child's workflow has them.
    passed: Mapping[str, str] = field(default_factory=dict)
    # An earlier child run to continue, if possible, instead of submitting a new one; empty when there is
    # none.
    continues: str = ""
    # The name became known only now: whether the tenant may run that workflow was not checked at submission.
    bound: bool = False


@dataclass(frozen=True, kw_only=True)
class AwaitRun:
    """Answer with `RunFound` as soon as the awaited run has succeeded.

    Without `waits` the answer is `RunMissing` when there is no such run yet.
    """

    path: str
    awaited: history_pb2.AwaitedRun
    waits: bool


@dataclass(frozen=True, kw_only=True)
class SubmitChild:
    """Submit the child run of a sub-workflow block, in the transaction of the events."""

    path: str
    child_run_id: str
    workflow: str
    version: str
    params: Mapping[str, str]
    priority: int
    # Nesting depth of the child: the number of its ancestor runs.
    depth: int
    # It is no child: it stands by itself.
    detached: bool = False
    # Of that workflow; None without one, or when it does not use run_info().
    previous: run_pb2.PreviousRun | None = None


@dataclass(frozen=True, kw_only=True)
class TellRun:
    """Put a command into another run's inbox, in the transaction of the events."""

    run_id: str
    command: command_pb2.RunCommand


# The actions that the shell executes in the transaction of the events.
Durable: TypeAlias = SubmitChild | TellRun | RememberStep | ReleasePermits

Action: TypeAlias = (
    RequestStep
    | EndStep
    | RevokeLease
    | EndChain
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
    | AwaitRun
    | Durable
)
