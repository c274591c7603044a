"""What the engine is told. Each message is one fact or one wish; the engine decides what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from kaonapi.step.v1 import step_pb2


@dataclass(frozen=True, kw_only=True)
class Start:
    """Begin the run: its acknowledged submission has reached its owner."""


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Stop the run."""

    reason: str
    requester: str


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The claim under which a runner reports: which issue of which step, and which life of which runner."""

    path: str
    attempt: int
    # The fencing token.
    generation: int
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

    path: str
    generation: int


@dataclass(frozen=True, kw_only=True)
class RetryDue:
    """The wait before the step's next attempt is over."""

    path: str
    generation: int


@dataclass(frozen=True, kw_only=True)
class AttemptTimedOut:
    """The attempt has used up its time and the runner has not ended it by itself."""

    path: str
    generation: int


Message: TypeAlias = (
    Start
    | Cancel
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
