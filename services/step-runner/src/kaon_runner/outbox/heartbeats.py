"""Heartbeats: the runner's labels, capacity and load, for the matcher of its pool."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from kaon_runner.leases.slots import Amount
from kaon_runner.leases.table import LeaseTable, Phase
from kaon_wire.version import VERSION
from kaonapi.runner.v1 import runner_pb2

# Microseconds: reports of a runner with steps this short wait for those of other steps.
_SHORT_US = 20_000
# A heartbeat names so many environments that are being built.
_BUILDS = 16


class RecentDuration:
    """Moving average of the durations of steps, in microseconds; 0 before the first."""

    def __init__(self) -> None:
        self.microseconds = 0

    @property
    def short(self) -> bool:
        """Tell whether recent steps have been short."""
        return 0 < self.microseconds < _SHORT_US

    def add(self, seconds: float) -> None:
        """Add the duration of a step."""
        took = max(1, int(seconds * 1e6))
        self.microseconds = (
            took if self.microseconds == 0 else int(0.9 * self.microseconds + 0.1 * took)
        )


@dataclass(kw_only=True)
class Heartbeats:
    """Composes the numbered heartbeats of one incarnation."""

    pool: str
    runner_id: str
    incarnation: str
    capacity: Amount
    labels: Mapping[str, str]
    leases: LeaseTable
    recent: RecentDuration
    warm_bundles: Callable[[], Sequence[str]]
    # Receives every heartbeat before it is sent.
    told: Callable[[runner_pb2.RunnerHeartbeat], runner_pb2.RunnerHeartbeat] = lambda heartbeat: (
        heartbeat
    )
    sequence: int = 0

    def next(
        self,
        *,
        draining: bool,
        leaving: bool,
        building: Iterable[runner_pb2.EnvironmentBuild] = (),
    ) -> runner_pb2.RunnerHeartbeat:
        """Return the current heartbeat; `building` are the environments that are being built, the oldest first."""
        self.sequence += 1
        heartbeat = runner_pb2.RunnerHeartbeat(
            pool=self.pool,
            runner_id=self.runner_id,
            incarnation=self.incarnation,
            sequence=self.sequence,
            capacity=self.capacity.message(),
            labels=dict(self.labels),
            running=self.leases.keys(Phase.HELD, Phase.FOLLOWING),
            queued=self.leases.keys(Phase.QUEUED),
            draining=draining,
            leaving=leaving,
            warm_bundles=self.warm_bundles(),
            version=VERSION,
            time_us=time.time_ns() // 1000,
            recent_step_us=self.recent.microseconds,
            building=islice(building, _BUILDS),
        )
        return self.told(heartbeat)
