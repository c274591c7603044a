"""What the engine is told. Each message is one fact or one wish; the engine decides what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from kaon_coordinator.engine.actions import Timer
from kaon_coordinator.engine.issue import StepIssue
from kaonapi.step.v1 import step_pb2


@dataclass(frozen=True, kw_only=True)
class Start:
    """Begin the run: its acknowledged submission has reached its owner."""


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Stop the run, or what is under `path`."""

    reason: str
    requester: str
    path: str = ""
    # Hooks are stopped too.
    force: bool = False
    # What stops counts as skipped.
    skip: bool = False


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Start nothing new."""

    reason: str
    requester: str


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Go on after a pause."""

    reason: str
    requester: str


@dataclass(frozen=True, kw_only=True)
class Signal:
    """Something from outside for a gate, or for the running step at `path`."""

    name: str
    # Canonical JSON.
    payload_json: str
    requester: str
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer to an approval."""

    path: str
    approved: bool
    comment: str
    requester: str
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Run again what failed at or under `path` (empty: everywhere)."""

    path: str
    reason: str
    requester: str
    # The parent's event with which it goes on with this run; 0 when it was not the parent that asked.
    asked: int = 0


@dataclass(frozen=True, kw_only=True)
class Restart:
    """Run again the block at `path` and everything after it."""

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
class SetPriority:
    """Change the run's priority."""

    priority: int
    requester: str


@dataclass(frozen=True, kw_only=True)
class ChildEnded:
    """The run of a sub-workflow block has ended."""

    path: str
    child_run_id: str
    status: int
    # Canonical JSON by name.
    outputs: Mapping[str, str]
    error: step_pb2.StepError | None = None
    # The newest wish of the parent that the child go on; 0 when there was none.
    asked: int = 0


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The claim under which a runner reports: which issue of which step, and which life of which runner."""

    issue: StepIssue
    runner_id: str
    incarnation: str


@dataclass(frozen=True, kw_only=True)
class Started:
    """A runner has begun to execute the step."""

    lease: Lease


@dataclass(frozen=True, kw_only=True)
class Reported:
    """The holder reported a metric or saved a checkpoint."""

    lease: Lease
    metric: step_pb2.StepMetric | None = None
    # Canonical JSON.
    checkpoint_json: str = ""


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
    """The attempt was stopped at the engine's request; nothing of it is left."""

    lease: Lease
    log_json: str = ""


@dataclass(frozen=True, kw_only=True)
class HandedBack:
    """The runner will not execute this release."""

    lease: Lease
    reason: str


@dataclass(frozen=True, kw_only=True)
class LeaseExpired:
    """Nobody has renewed the lease in time, and the engine could hear all that while."""

    issue: StepIssue


@dataclass(frozen=True, kw_only=True)
class RetryDue:
    """The wait before the step's next attempt is over."""

    issue: StepIssue


@dataclass(frozen=True, kw_only=True)
class AttemptTimedOut:
    """The attempt has used up its time and the runner has not ended it by itself."""

    issue: StepIssue


@dataclass(frozen=True, kw_only=True)
class Due:
    """A watched time has come. Late and doubled ones change nothing."""

    timer: Timer
    path: str
    due_us: int


@dataclass(frozen=True, kw_only=True)
class Continued:
    """The node at this path may be able to go on."""

    path: str


@dataclass(frozen=True, kw_only=True)
class ItemsRead:
    """The items of a foreach have been read, each canonical JSON."""

    path: str
    # The question's: an answer to an earlier one does not count.
    asked: int
    items: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ManifestsWritten:
    """Large inputs of a step are kept as artifacts."""

    path: str
    # The question's: an answer to an earlier one does not count.
    asked: int
    # References, canonical JSON by input name.
    inputs: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class MemoFound:
    """An equal execution has given these outputs."""

    path: str
    # The question's: an answer to an earlier one does not count.
    asked: int
    key: str
    outputs: Mapping[str, str]
    # The execution.
    run_id: str
    source_path: str


@dataclass(frozen=True, kw_only=True)
class MemoMissed:
    """There is no equal execution that may be used."""

    path: str
    # The question's: an answer to an earlier one does not count.
    asked: int
    key: str


@dataclass(frozen=True, kw_only=True)
class PermitsGranted:
    """The step (or run, with an empty path) holds its permits."""

    path: str
    # The question's: an answer to an earlier one does not count.
    asked: int


@dataclass(frozen=True, kw_only=True)
class ChildPrepared:
    """The workflow of a sub-workflow block is known and its parameters are complete."""

    path: str
    # The question's: an answer to an earlier one does not count.
    asked: int
    # A fresh id, or that of the run that the question wants to go on.
    child_run_id: str
    workflow: str
    version: str
    params: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Unprepared:
    """What a block needed from outside cannot be had: it fails."""

    path: str
    # The question's: an answer to an earlier one does not count.
    asked: int
    # "BindingError" for the workflow's fault, "Platform" for storage that refused for good.
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
    | ChildEnded
    | Due
    | Continued
    | ItemsRead
    | ManifestsWritten
    | MemoFound
    | MemoMissed
    | PermitsGranted
    | ChildPrepared
    | Unprepared
    | Started
    | Reported
    | Succeeded
    | Failed
    | Stopped
    | HandedBack
    | LeaseExpired
    | RetryDue
    | AttemptTimedOut
)
