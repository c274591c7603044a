"""The messages of the engine. Each one is a fact or a command, and the engine decides what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from kaon_coordinator.engine.actions import Timer
from kaon_coordinator.engine.issue import StepIssue
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.step.v1 import step_pb2


@dataclass(frozen=True, kw_only=True)
class Start:
    """Begin the run: its acknowledged submission has reached the owner."""


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Stop the run, or everything under `path`."""

    reason: str
    requester: str
    path: str = ""
    # Also stop hooks.
    force: bool = False
    # Mark the stopped nodes SKIPPED, so that downstream nodes still run.
    skip: bool = False


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Start nothing new."""

    reason: str
    requester: str


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Continue a paused run."""

    reason: str
    requester: str


@dataclass(frozen=True, kw_only=True)
class Signal:
    """A signal from outside, for a gate or for the running step at `path`."""

    name: str
    # Canonical JSON.
    payload_json: str
    requester: str
    path: str = ""
    # The requester's.
    roles: frozenset[str] = frozenset()
    # For all gates that wait and take it, not only for the first.
    to_all: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer to an approval gate."""

    path: str
    approved: bool
    comment: str
    requester: str
    roles: frozenset[str] = frozenset()
    # By field of the gate.
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Run again all failed nodes at or under `path` (empty: in the whole run)."""

    path: str
    reason: str
    requester: str
    # The parent's event number of this retry; 0 when the retry does not come from the parent.
    asked: int = 0


@dataclass(frozen=True, kw_only=True)
class Restart:
    """Run the block at `path` and everything after it again."""

    path: str
    reason: str
    requester: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Settle a step or block by hand."""

    path: str
    # SUCCEEDED, FAILED or SKIPPED.
    status: int
    # Canonical JSON by output name.
    outputs: Mapping[str, str]
    reason: str
    requester: str


@dataclass(frozen=True, kw_only=True)
class SetBreakpoint:
    """Let a step, or all instances of a name, wait before they start."""

    step: str
    reason: str
    requester: str


@dataclass(frozen=True, kw_only=True)
class PassBreakpoint:
    """Let go on what waits at a breakpoint."""

    step: str
    reason: str
    requester: str


@dataclass(frozen=True, kw_only=True)
class SetPriority:
    """Change the run's priority."""

    priority: int
    requester: str


@dataclass(frozen=True, kw_only=True)
class ChildEnded:
    """The child run of a sub-workflow block has ended."""

    path: str
    child_run_id: str
    status: int
    # Canonical JSON by parameter name.
    outputs: Mapping[str, str]
    error: step_pb2.StepError | None = None
    # The newest retry of the parent that the child knows; 0 when there was none.
    asked: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The claim under which a runner reports: the issue of a step, and the incarnation of the runner."""

    issue: StepIssue
    runner_id: str
    incarnation: str
    # Digest of the inputs with which the runner began the step by itself; empty when it was released to it.
    succession: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Started:
    """A runner has started the step."""

    lease: Lease


@dataclass(frozen=True, kw_only=True)
class Reported:
    """The holder reported a metric or saved a checkpoint."""

    lease: Lease
    metric: step_pb2.StepMetric | None = None
    # Canonical JSON.
    checkpoint_json: str = ""


@dataclass(frozen=True, kw_only=True)
class Serves:
    """The step serves others, and its attempt goes on."""

    lease: Lease
    # Canonical JSON by output name.
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Succeeded:
    """The attempt succeeded."""

    lease: Lease
    # Canonical JSON by output name.
    outputs: Mapping[str, str] = field(default_factory=dict)
    log_json: str = ""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The attempt failed."""

    lease: Lease
    error: step_pb2.StepError
    log_json: str = ""


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The attempt was stopped at the engine's request, and no process of it is left."""

    lease: Lease
    log_json: str = ""


@dataclass(frozen=True, kw_only=True)
class HandedBack:
    """The runner declines this release."""

    lease: Lease
    reason: str


@dataclass(frozen=True, kw_only=True)
class LeaseExpired:
    """The lease was not renewed in time although the owner could receive messages throughout."""

    issue: StepIssue


@dataclass(frozen=True, kw_only=True)
class RetryDue:
    """The wait before the step's next attempt is over."""

    issue: StepIssue


@dataclass(frozen=True, kw_only=True)
class AttemptTimedOut:
    """The attempt exceeded its time-out, and the runner did not end it by itself."""

    issue: StepIssue


@dataclass(frozen=True, kw_only=True)
class Due:
    """A timer has fired. Late and duplicate timers change nothing."""

    timer: Timer
    path: str
    due_us: int


@dataclass(frozen=True, kw_only=True)
class Continued:
    """The node at this path may be able to go on."""

    path: str


@dataclass(frozen=True, kw_only=True)
class ItemsRead:
    """The items of a foreach, each as canonical JSON."""

    path: str
    # Sequence number of the question: an answer to an earlier question does not count.
    asked: int
    items: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ManifestsWritten:
    """Large inputs of a step are stored as artifacts."""

    path: str
    # Sequence number of the question: an answer to an earlier question does not count.
    asked: int
    # References, canonical JSON by input name.
    inputs: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class MemoFound:
    """The memo of an equal execution provides these outputs."""

    path: str
    # Sequence number of the question: an answer to an earlier question does not count.
    asked: int
    key: str
    outputs: Mapping[str, str]
    # The execution whose memo it is.
    run_id: str
    source_path: str


@dataclass(frozen=True, kw_only=True)
class MemoMissed:
    """No usable memo of an equal execution exists."""

    path: str
    # Sequence number of the question: an answer to an earlier question does not count.
    asked: int
    key: str


@dataclass(frozen=True, kw_only=True)
class PermitsGranted:
    """The step, or the run when the path is empty, holds its permits."""

    path: str
    # Sequence number of the question: an answer to an earlier question does not count.
    asked: int


@dataclass(frozen=True, kw_only=True)
class PermitsRefused:
    """The run will never get its permits: its workflow's submit strategy ends it, or runs would wait for each other."""

    # CANCELLED or FAILED.
    status: int
    # The error's type and text.
    kind: str
    problem: str


@dataclass(frozen=True, kw_only=True)
class ChildPrepared:
    """The workflow of a sub-workflow block is resolved and its parameters are complete."""

    path: str
    # Sequence number of the question: an answer to an earlier question does not count.
    asked: int
    # A fresh run id, or that of the run to be continued.
    child_run_id: str
    workflow: str
    version: str
    params: Mapping[str, str]
    # Of that workflow; None without one, or when it does not use run_info().
    previous: run_pb2.PreviousRun | None = None


@dataclass(frozen=True, kw_only=True)
class RunFound:
    """The run that a gate waits for has succeeded."""

    path: str
    # As in `AwaitRun`: an answer to another question does not count.
    awaited: history_pb2.AwaitedRun
    run_id: str
    # Canonical JSON by output name.
    outputs: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class RunMissing:
    """The run that a gate asks for does not exist yet, and the gate does not wait for it."""

    path: str
    # As in `AwaitRun`: an answer to another question does not count.
    awaited: history_pb2.AwaitedRun


@dataclass(frozen=True, kw_only=True)
class Unprepared:
    """A block's request to the outside failed for good: the block fails."""

    path: str
    # Sequence number of the question: an answer to an earlier question does not count.
    asked: int
    # "BindingError" when the workflow is at fault, "Platform" when storage refused permanently.
    kind: str
    problem: str


Message: TypeAlias = (
    Start
    | Cancel
    | Pause
    | Resume
    | Signal
    | Answer
    | Retry
    | Restart
    | Mark
    | SetPriority
    | SetBreakpoint
    | PassBreakpoint
    | ChildEnded
    | Due
    | Continued
    | ItemsRead
    | ManifestsWritten
    | MemoFound
    | MemoMissed
    | PermitsGranted
    | PermitsRefused
    | ChildPrepared
    | RunFound
    | RunMissing
    | Unprepared
    | Started
    | Reported
    | Serves
    | Succeeded
    | Failed
    | Stopped
    | HandedBack
    | LeaseExpired
    | RetryDue
    | AttemptTimedOut
)
