"""Composes runners: for services, embedded mode and simulations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import psutil

from kaon_runner.artifacts.base import Artifacts
from kaon_runner.execution.execution import Execution
from kaon_runner.execution.surroundings import Surroundings
from kaon_runner.leases.slots import Amount, Slots
from kaon_runner.leases.table import LeaseTable
from kaon_runner.outbox.heartbeats import Heartbeats, RecentDuration
from kaon_runner.outbox.outbox import Outbox
from kaon_runner.preparation.preparer import Preparer
from kaon_runner.runner import Runner
from kaon_runner.settings import Settings
from kaon_runner.steptypes.base import StepType
from kaon_runner.telemetry import RunnerTelemetry
from kaon_runner.transport.base import Transport
from kaon_runner.workers.pool import WorkerPool
from kaon_wire.outstanding import MOST_FOR_A_SLOT
from kaonapi.runner.v1 import runner_pb2


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The dependencies of a runner, beside its settings."""

    # The incarnation's id.
    incarnation: str
    # Not necessarily started.
    transport: Transport
    telemetry: RunnerTelemetry
    capacity: Amount
    # Labels that workflows may require.
    labels: Mapping[str, str]
    step_types: Mapping[str, StepType]
    preparer: Preparer
    artifacts: Artifacts
    pool: WorkerPool
    # For calls that would block the loop.
    executor: Executor
    # Serializes heartbeats, signed where the pool has a key.
    seal: Callable[[runner_pb2.RunnerHeartbeat], bytes]
    # The directory of the logs of running steps.
    logs: Path
    # Creates the execution of a lease.
    execution: Callable[..., Execution] = Execution


def compose_runner(settings: Settings, parts: Parts) -> Runner:
    """Return a runner that neither receives nor sends heartbeats yet. Must be called on its loop."""
    leases, recent, slots = LeaseTable(), RecentDuration(), Slots(parts.capacity)
    outbox = Outbox(
        parts.transport,
        runner_id=settings.runner_id,
        incarnation=parts.incarnation,
        seal=parts.seal,
        company=lambda: len(leases) - 1 if recent.short else 0,
    )
    heartbeats = Heartbeats(
        pool=settings.pool,
        runner_id=settings.runner_id,
        incarnation=parts.incarnation,
        capacity=slots.capacity,
        labels=parts.labels,
        leases=leases,
        recent=recent,
        warm_bundles=lambda: warm_bundles(parts.pool),
        told=parts.telemetry.beaten,
    )
    return Runner(
        around=lambda runner: _surroundings(settings, parts, runner, outbox),
        execution=parts.execution,
        outbox=outbox,
        heartbeats=heartbeats,
        leases=leases,
        slots=slots,
        recent=recent,
        # Twice, because releases of the matcher before may still be on their way.
        queue_limit=settings.queue or 2 * MOST_FOR_A_SLOT * settings.slots,
        renew_seconds=settings.renew_seconds,
        supervisor_seconds=settings.supervisor_seconds,
    )


def _surroundings(settings: Settings, parts: Parts, runner: Runner, outbox: Outbox) -> Surroundings:
    return Surroundings(
        settings=settings,
        preparer=parts.preparer,
        artifacts=parts.artifacts,
        pool=parts.pool,
        step_types=parts.step_types,
        executor=parts.executor,
        logs=parts.logs,
        report=parts.telemetry.listening(runner.report),
        send_log=outbox.logs,
        beat=runner.beat,
    )


def capacity_of(settings: Settings) -> Amount:
    """Return the runner's capacity: the settings, or else the machine's."""
    return Amount(
        slots=settings.slots,
        cpu_milli=settings.cpu_milli or 1000 * (psutil.cpu_count() or 1),
        memory_bytes=settings.memory_bytes or psutil.virtual_memory().total,
        gpu=settings.gpu,
        custom=settings.resources,
    )


def warm_bundles(pool: WorkerPool) -> list[str]:
    """Return the digests of the bundles with an idle worker."""
    return sorted({key.partition("/")[2] for key in pool.warm_keys()} - {""})
