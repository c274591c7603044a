"""What the engine wants done outside of it, after its events are durable. Losing any of these is harmless: each is derivable
from the state (a READY step without a holder is requested again, a stale renewal is revoked again)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


@dataclass(frozen=True, kw_only=True)
class RequestStep:
    """Ask the pool's matcher for a runner for this READY step."""

    path: str


@dataclass(frozen=True, kw_only=True)
class EndStep:
    """Tell the pool's matcher that this issue of the step needs no runner any more."""

    path: str
    attempt: int
    generation: int


class RevokeReason(StrEnum):
    """Why a runner must stop."""

    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    STALE_LEASE = "stale_lease"


@dataclass(frozen=True, kw_only=True)
class RevokeLease:
    """Tell one life of a runner to stop executing this issue of the step."""

    path: str
    attempt: int
    generation: int
    incarnation: str
    reason: RevokeReason


@dataclass(frozen=True, kw_only=True)
class WatchRetry:
    """Send `RetryDue` at `due_us` (microseconds since the epoch)."""

    path: str
    generation: int
    due_us: int


@dataclass(frozen=True, kw_only=True)
class WatchAttempt:
    """A runner has become the holder: expect renewals, and send `AttemptTimedOut` when the attempt takes longer than allowed."""

    path: str
    generation: int
    incarnation: str
    # Microseconds since the epoch; 0 means without limit.
    timeout_us: int


Action: TypeAlias = RequestStep | EndStep | RevokeLease | WatchRetry | WatchAttempt
