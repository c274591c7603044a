"""The shell's settings: names, bounds and clocks; and its counters."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kaon_coordinator.engine.decision import refuse_nothing
from kaon_coordinator.engine.definition.limits import DEFAULT, Limits
from kaon_coordinator.ids import new_run_id
from kaon_coordinator.matching.tenants import NO_LIMITS, Tenants
from kaon_coordinator.shell.lease_book import LEASE_SECONDS
from kaon_coordinator.shell.lease_proofs import NO_PROOFS, LeaseProofs
from kaon_coordinator.shell.outbox import Outbox, Seal, unsigned
from kaon_coordinator.store.records import WorkflowRecord
from kaon_service.heartbeat_signatures import HeartbeatVerifier
from kaon_wire import topics
from kaonapi.workflow.v1 import definition_pb2 as d


@dataclass(frozen=True, kw_only=True)
class Clocks:
    """The two sources of time, injected."""

    # Returns microseconds since the epoch.
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    # Seconds that never jump.
    monotonic: Callable[[], float] = time.monotonic


async def may_call_any(workflow: WorkflowRecord, priority: int) -> str:
    """Let every run call every workflow."""
    return ""


@dataclass(frozen=True, kw_only=True)
class ShellSettings:
    """Names and bounds of one coordinator."""

    # Name of this process, for the logs and the partitions' rows.
    owner: str
    catalogue: topics.Catalogue
    limits: Limits = DEFAULT
    lease_seconds: float = LEASE_SECONDS
    # What makes the word of a runner count.
    proofs: LeaseProofs = NO_PROOFS
    # Checks heartbeats; None: every one counts.
    heartbeats: HeartbeatVerifier | None = None
    # Signs commands to runners.
    seal: Seal = unsigned
    # The entitlements of tenants.
    tenants: Tenants = NO_LIMITS
    # Returns why a step of a tenant, in a run of this priority, may not have policies that became known in the run; empty: it may.
    refusal: Callable[[str, int, d.Step], str] = refuse_nothing
    # The same of a workflow that a run of this priority calls by a name that it knows only now.
    may_call: Callable[[WorkflowRecord, int], Awaitable[str]] = may_call_any
    # Interval at which the turn loop checks time: timers, leases, matchers.
    tick_seconds: float = 0.1
    # Interval at which the turn loop reads unapplied commands, in case a wake-up was lost.
    poll_seconds: float = 1.0
    # How long a submission waits for a turn of its owner, which may be waiting for the broker.
    begin_seconds: float = 0.25
    # A send that takes longer means that the broker was unreachable.
    stall_seconds: float = 2.0
    # A fresh id for a run submitted at this time; a number in [0, 1) for jitter.
    new_run_id: Callable[[int], str] = new_run_id
    random: Callable[[], float] = random.random

    def outbox(self) -> Outbox:
        """Return an empty outbox."""
        return Outbox(self.catalogue, self.seal)


@dataclass(kw_only=True)
class Counters:
    """Counts since the start, for metrics and tests."""

    stale_leases: int = 0
    # Events and renewals without a valid lease token.
    unproven: int = 0
    # Heartbeats that no runner of their pool has signed.
    unproven_heartbeats: int = 0
    expired_leases: int = 0
    quarantined: int = 0
    fenced: int = 0
    committed_events: int = 0
    # Faults of runs, schedules and records.
    faults: int = 0
