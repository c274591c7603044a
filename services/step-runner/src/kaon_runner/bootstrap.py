"""The composition root: builds a running runner from settings and a transport."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import structlog
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from kaon_runner.artifacts import copies
from kaon_runner.artifacts.base import Artifacts
from kaon_runner.artifacts.gateway import ArtifactGateway
from kaon_runner.capabilities.machine import machine_labels
from kaon_runner.capabilities.step_types import StepTypes
from kaon_runner.composition import Parts, capacity_of, compose_runner
from kaon_runner.disk.space import WorkDirectory
from kaon_runner.outbox.outbox import unsigned
from kaon_runner.preparation.environments import Environments
from kaon_runner.preparation.preparer import Preparer
from kaon_runner.runner import Runner
from kaon_runner.settings import Settings
from kaon_runner.supervision import groups, limits
from kaon_runner.telemetry import RunnerTelemetry
from kaon_runner.transport.base import Transport
from kaon_runner.workers.pool import WorkerPool
from kaon_runner.workers.prewarming import prewarm
from kaon_service.background import BackgroundTasks, in_rounds, until_first
from kaon_service.heartbeat_signatures import HeartbeatSigner
from kaon_telemetry.metrics import RunnerMetrics
from kaon_telemetry.tracing import NoSpans

log = structlog.get_logger(__name__)
_LEAVE_SECONDS = 5.0
_SWEEP_SECONDS = copies.TIDY_SECONDS


def build_runner(
    settings: Settings,
    transport: Transport,
    artifacts: Artifacts | None = None,
    telemetry: RunnerTelemetry | None = None,
    signer: HeartbeatSigner | None = None,
) -> RunnerService:
    """Build a runner over `transport`, not started.

    Args:
        settings: See `Settings`.
        transport: The transport, not started; the runner closes it.
        artifacts: The store; None means the one in the settings.
        telemetry: The telemetry; None means one without readers.
        signer: Signs its heartbeats; None means that the pool has no key.
    """
    telemetry = telemetry or RunnerTelemetry(
        settings.runner_id, RunnerMetrics(CollectorRegistry()), NoSpans()
    )
    return RunnerService(settings, transport, artifacts or _gateway(settings), telemetry, signer)


def _gateway(settings: Settings) -> Artifacts:
    return ArtifactGateway(settings)


class RunnerService:
    """One incarnation of a runner: `run` in a process of its own, or `start` and `stop` beside other components.

    Args:
        settings: See `Settings`.
        transport: The transport, not started; the service closes it.
        artifacts: The store.
        telemetry: Receives reports.
        signer: Signs its heartbeats.
    """

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        artifacts: Artifacts,
        telemetry: RunnerTelemetry,
        signer: HeartbeatSigner | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._signer = signer
        settings.work.mkdir(parents=True, exist_ok=True)
        self.settings = replace(settings, work=settings.work.absolute())
        self.incarnation = f"{settings.runner_id}-{signer.name if signer else secrets.token_hex(8)}"
        self._work = WorkDirectory(
            self.settings.work, self.incarnation, scratch_seconds=settings.scratch_seconds
        )
        self._transport = transport
        self._artifacts = artifacts
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._drain_seconds = settings.drain_seconds
        self._thread: threading.Thread | None = None
        # What it can execute; None until it has looked.
        self.step_types: StepTypes | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None

    @property
    def ready(self) -> bool:
        """Tell whether the transport is connected and the first heartbeat is acknowledged."""
        return self._ready.is_set()

    def start(self) -> None:
        """Run in a thread of its own; return when the first heartbeat is acknowledged.

        Raises:
            KaonError: The runner could not start.
        """
        self._thread = threading.Thread(
            target=self._run_in_thread, name=f"runner-{self.settings.runner_id}", daemon=True
        )
        self._thread.start()
        while not self._ready.wait(0.05):
            if not self._thread.is_alive():
                assert self._failure is not None
                raise self._failure

    def stop(self, drain_seconds: float | None = None) -> None:
        """Drain and shut down; return when done. Safe from any thread, and without a start.

        Args:
            drain_seconds: The time that running steps have to finish; None means the setting.
        """
        self.request_stop(drain_seconds)
        if self._thread is not None:
            self._thread.join()

    def request_stop(self, drain_seconds: float | None = None) -> None:
        """Request the shutdown like `stop`, without waiting."""
        if drain_seconds is not None:
            self._drain_seconds = drain_seconds
        if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def run(self) -> None:
        """Work until `stop`, then drain and leave."""
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        executor = ThreadPoolExecutor(
            max_workers=max(4, self.settings.slots), thread_name_prefix="step-files"
        )
        try:
            await self._serve(executor)
        finally:
            self._ready.clear()
            await self._loop.run_in_executor(None, self._transport.close)
            executor.shutdown(wait=False, cancel_futures=True)
            self._work.close()

    async def _serve(self, executor: ThreadPoolExecutor) -> None:
        assert self._loop is not None
        assert self._stopping is not None
        _prepare_limits()
        self._work.open()
        types = await self._loop.run_in_executor(executor, StepTypes.discover, self.settings)
        self.step_types = types
        loop = self._loop
        pool = self._worker_pool()
        parts = await loop.run_in_executor(executor, self._parts, types, pool, executor)
        runner = compose_runner(self.settings, parts)
        await prewarm(self.settings, self._artifacts, pool, executor)

        def deliver(messages: Sequence[Message]) -> None:
            loop.call_soon_threadsafe(runner.receive, messages)

        await loop.run_in_executor(executor, self._transport.start, self.incarnation, deliver)
        # A runner that does not renew leases, or cannot clean up, must not continue.
        tasks = BackgroundTasks()
        tasks.start("keep-alive", runner.keep_alive())
        tasks.start("sweep", self._keep_clean(executor, runner))
        try:
            await until_first(tasks.wait(), runner.hello.wait())
            self._ready.set()
            log.info("runner ready", runner=self.settings.runner_id, incarnation=self.incarnation)
            await until_first(tasks.wait(), self._stopping.wait())
            await until_first(tasks.wait(), runner.drain(self._drain_seconds))
        finally:
            await tasks.stop()
            await runner.leave(_LEAVE_SECONDS)
        log.info("runner left", runner=self.settings.runner_id, incarnation=self.incarnation)

    async def _keep_clean(self, executor: ThreadPoolExecutor, runner: Runner) -> None:
        """Remove unused files periodically; failed removals are retried."""
        await in_rounds(
            "sweep",
            partial(self._sweep, executor, runner),
            partial(asyncio.sleep, _SWEEP_SECONDS),
            passing=(OSError,),
        )

    async def _sweep(self, executor: ThreadPoolExecutor, runner: Runner) -> None:
        assert self._loop is not None
        await self._loop.run_in_executor(executor, self._work.sweep)
        await self._loop.run_in_executor(executor, limits.sweep)
        tidy = partial(copies.tidy, self.settings.cache_directory, self.settings.cache_seconds)
        await self._loop.run_in_executor(executor, tidy, runner.copies())

    def _worker_pool(self) -> WorkerPool:
        settings = self.settings
        return WorkerPool(
            directory=settings.work,
            worker_steps=settings.worker_steps,
            worker_memory_bytes=settings.worker_memory_bytes,
            prefetch=settings.prefetch,
            idle_limit=2 * settings.slots,
            idle_seconds=settings.worker_idle_seconds,
            deadline_seconds=settings.supervisor_seconds,
        )

    def _parts(self, types: StepTypes, pool: WorkerPool, executor: ThreadPoolExecutor) -> Parts:
        settings, artifacts = self.settings, self._artifacts
        preparer = Preparer(
            artifacts,
            steps=self._work.steps,
            scratch=settings.scratch or self._work.scratch.as_uri(),
            incarnation=self.incarnation,
            environments=Environments(settings.cache_directory, python=settings.python),
        )
        return Parts(
            incarnation=self.incarnation,
            transport=self._transport,
            telemetry=self._telemetry,
            capacity=capacity_of(settings),
            labels={**machine_labels(), **types.labels, **settings.labels},
            step_types=types.available,
            preparer=preparer,
            artifacts=artifacts,
            pool=pool,
            executor=executor,
            seal=self._signer.seal if self._signer else unsigned,
            logs=self._work.logs,
        )

    def _run_in_thread(self) -> None:
        try:
            asyncio.run(self.run())
        except BaseException as error:
            self._failure = error
            log.exception("runner failed", runner=self.settings.runner_id)


def _prepare_limits() -> None:
    """Log once how the limits of steps are enforced."""
    groups.delegate()
    kept = limits.kept_here()
    missing = [name for name in groups.CONTROLLERS if name not in kept]
    if missing:
        log.warning(
            "no writable cgroup for some limits; steps may use more than they ask for",
            missing=missing,
            hint="give the runner a writable cgroup of its own: a container's, or systemd's Delegate=yes",
        )
    else:
        log.info("step limits in force", kept=dict(kept))
