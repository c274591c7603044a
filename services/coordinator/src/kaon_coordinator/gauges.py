"""Samples the coordinator every few seconds and sets the gauges that Prometheus reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from kaon_coordinator.faults import going_on
from kaon_coordinator.shell.coordinator import Coordinator
from kaon_coordinator.transport.base import Transport
from kaon_telemetry.metrics import CoordinatorMetrics
from kaonapi.runner.v1 import runner_pb2

SECONDS = 2.0


class Gauges:
    """Sets the gauges.

    Args:
        metrics: The gauges to set.
        coordinator: The coordinator to sample.
        transport: The transport to sample.
        pools: The deployment's pools.
    """

    def __init__(
        self,
        metrics: CoordinatorMetrics,
        coordinator: Coordinator,
        transport: Transport,
        pools: Iterable[str],
    ) -> None:
        self._metrics = metrics
        self._coordinator = coordinator
        self._transport = transport
        self._pools = tuple(pools)

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            with going_on("the coordinator was measured"):
                self.look()
            await asyncio.sleep(SECONDS)

    def look(self) -> None:
        """Set every gauge."""
        metrics, counters = self._metrics, self._coordinator.counters
        metrics.stale.set(counters.stale_leases)
        metrics.unproven.set(counters.unproven)
        metrics.unproven_heartbeats.set(counters.unproven_heartbeats)
        metrics.fenced.set(counters.fenced)
        metrics.quarantined.set(counters.quarantined)
        metrics.faults.set(counters.faults)
        metrics.set_aside.set(self._coordinator.runs_aside)
        metrics.partitions.set(self._coordinator.partitions_owned)
        metrics.runs_open.set(self._coordinator.runs_open)
        metrics.connected.set(not self._transport.trouble)
        metrics.pool_wanted.clear()
        for name in self._pools:
            with going_on("a pool was measured", pool=name):
                self._look_at_pool(name, self._coordinator.pools.view(name))

    def _look_at_pool(self, name: str, pool: runner_pb2.Pool | None) -> None:
        """Sample a pool; one that another coordinator owns shows nothing here."""
        metrics = self._metrics
        shown = pool or runner_pb2.Pool()
        metrics.pool_waiting.labels(name).set(shown.waiting)
        metrics.pool_running.labels(name).set(shown.released)
        metrics.pool_runners.labels(name).set(shown.runners)
        metrics.pool_slots.labels(name).set(shown.capacity.slots)
        for demand in shown.demands:
            labels = ",".join(sorted(demand.labels))
            metrics.pool_wanted.labels(name, labels).set(demand.wanted.slots)
