"""Heartbeats: what this runner is and has, for the matcher of its pool."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kaon_runner.leases.slots import Amount
from kaon_runner.leases.table import LeaseTable, Phase
from kaon_wire.version import VERSION
from kaonapi.runner.v1 import runner_pb2

# Microseconds: other steps of a runner whose steps are this short are worth waiting for.
_SHORT_US = 20_000


class RecentDuration:
    """Moving average of how long steps took, microseconds; 0 before the first."""

    def __init__(self) -> None:
        self.microseconds = 0

    @property
    def short(self) -> bool:
        """Whether steps have been ending within moments of their start."""
        return 0 < self.microseconds < _SHORT_US

    def add(self, seconds: float) -> None:
        """One more step has ended."""
        took = max(1, int(seconds * 1e6))
        self.microseconds = took if self.microseconds == 0 else int(0.9 * self.microseconds + 0.1 * took)


@dataclass(kw_only=True)
class Heartbeats:
    """Composes the heartbeats of one incarnation, numbered."""

    pool: str
    runner_id: str
    incarnation: str
    capacity: Amount
    labels: Mapping[str, str]
    leases: LeaseTable
    recent: RecentDuration
    warm_bundles: Callable[[], Sequence[str]]
    # Sees every heartbeat before it leaves.
    told: Callable[[runner_pb2.RunnerHeartbeat], runner_pb2.RunnerHeartbeat] = lambda heartbeat: heartbeat
    sequence: int = 0

    def next(self, *, draining: bool, leaving: bool) -> runner_pb2.RunnerHeartbeat:
        """The heartbeat of this moment."""
        self.sequence += 1
        heartbeat = runner_pb2.RunnerHeartbeat(
            pool=self.pool,
            runner_id=self.runner_id,
            incarnation=self.incarnation,
            sequence=self.sequence,
            capacity=self.capacity.message(),
            labels=dict(self.labels),
            running=self.leases.keys(Phase.HELD),
            queued=self.leases.keys(Phase.QUEUED),
            draining=draining,
            leaving=leaving,
            warm_bundles=self.warm_bundles(),
            version=VERSION,
            time_us=time.time_ns() // 1000,
            recent_step_us=self.recent.microseconds,
        )
        return self.told(heartbeat)
