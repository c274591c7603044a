"""The warm workers of one runner: idle ones, those with room for another step, and their replacement."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kaon_runner.leases.slots import Amount
from kaon_runner.steptypes.base import WorkerSpec
from kaon_runner.supervision.child import Bounds, Ending
from kaon_runner.workers.process import SLOW_SECONDS, WarmWorker, WorkerTask
from kaon_wire.errors import KaonError

# Consecutive workers that may end before their first step, until the step fails that they were started for.
_STARTS = 3
# Steps are queued behind a running one only where recent steps were this short.
_SHORT_SECONDS = 0.02


class WorkerPool:
    """All warm workers of one runner.

    Args:
        directory: The working directory of the processes.
        worker_steps: The number of steps after which a worker is replaced.
        worker_memory_bytes: The memory between two steps beyond which a worker is replaced.
        prefetch: The number of steps that may wait behind a running one in its worker.
        idle_limit: The number of idle workers that are kept.
        idle_seconds: How long an idle worker is kept, unless it has not run any step yet.
        deadline_seconds: See `supervision.Order`.
    """

    def __init__(
        self,
        *,
        directory: Path,
        worker_steps: int,
        worker_memory_bytes: int,
        prefetch: int,
        idle_limit: int,
        idle_seconds: float,
        deadline_seconds: float,
    ) -> None:
        self.directory = directory
        self.worker_steps = worker_steps
        self.worker_memory_bytes = worker_memory_bytes
        self._prefetch = prefetch
        self._idle_limit = idle_limit
        self._idle_seconds = idle_seconds
        self._deadline_seconds = deadline_seconds
        self._workers: list[WarmWorker] = []
        self._idle: list[WarmWorker] = []
        # By kind: consecutive workers that ended before their first step.
        self._stillborn: dict[tuple[str, str, Bounds], int] = {}

    @property
    def workers(self) -> tuple[WarmWorker, ...]:
        """Return all workers, busy and idle."""
        return tuple(self._workers)

    def warm_keys(self) -> list[str]:
        """Return the keys of the specs that have an idle worker."""
        return sorted({worker.spec.key for worker in self._idle})

    def room_behind(self, lane: tuple[str, ...], wanted: Amount) -> WarmWorker | None:
        """Return the worker with the fewest waiting steps that runs short steps of this lane and has room for one more."""
        best: WarmWorker | None = None
        for worker in self._workers:
            tasks = worker.tasks
            fits = (
                tasks
                and len(tasks) <= self._prefetch
                and not worker.closed
                and worker.steps > 0
                and worker.average < _SHORT_SECONDS
                and tasks[0].lane == lane
                and (tasks[0].wanted is wanted or tasks[0].wanted == wanted)
                and not worker.worn
            )
            if fits and (best is None or len(tasks) < len(best.tasks)):
                best = worker
        return best if best is None or best.busy_seconds < SLOW_SECONDS else None

    async def submit(self, spec: WorkerSpec, task: WorkerTask) -> None:
        """Give a step that has a claim to an idle worker, or to a new one.

        Raises:
            UserStepError, PlatformStepError: No worker can be started.
        """
        worker = self._take_idle(spec, task.bounds) or await self._start(spec, task.bounds)
        worker.submit(task)

    async def warm(self, spec: WorkerSpec, bounds: Bounds) -> None:
        """Start a worker that waits for its first step.

        Raises:
            UserStepError, PlatformStepError: The worker cannot be started.
        """
        self.became_idle(await self._start(spec, bounds))

    async def _start(self, spec: WorkerSpec, bounds: Bounds) -> WarmWorker:
        worker = WarmWorker(spec, bounds, self)
        self._workers.append(worker)
        try:
            await worker.start(self._deadline_seconds)
        except KaonError:
            self._workers.remove(worker)
            worker.discard()
            raise
        return worker

    def became_idle(self, worker: WarmWorker) -> None:
        """Note that a worker has run its last step."""
        if worker.closed or worker in self._idle:
            return
        if worker.worn:
            worker.close()
            return
        self._idle.append(worker)
        if len(self._idle) > self._idle_limit:
            self._idle.pop(0).close()

    def worked(self, worker: WarmWorker) -> None:
        """Note that a worker has executed a step: its kind can be started."""
        if self._stillborn:
            self._stillborn.pop(worker.kind, None)

    def stillborn(self, worker: WarmWorker, ending: Ending) -> bool:
        """Note that a worker ended by itself before its first step.

        Return True when too many of its kind did so consecutively.
        """
        if ending.reason != "exited":
            return False
        deaths = self._stillborn.pop(worker.kind, 0) + 1
        if deaths < _STARTS:
            self._stillborn[worker.kind] = deaths
        return deaths >= _STARTS

    def forget(self, worker: WarmWorker) -> None:
        """Remove a worker whose process is gone."""
        self._workers.remove(worker)
        if worker in self._idle:
            self._idle.remove(worker)

    def look(self) -> None:
        """Read the output of long steps, and take back those that wait behind them. Called regularly."""
        for worker in self._workers:
            worker.look()
            if len(worker.tasks) > 1 and worker.busy_seconds > SLOW_SECONDS:
                for task in reversed(worker.take_back()):
                    task.requeue()
                worker.settle_idle()

    def renew_idle(self, seconds: float) -> None:
        """Renew idle workers, except those that have been idle for too long."""
        for worker in tuple(self._idle):
            if worker.idle_seconds > self._idle_seconds:
                self._idle.remove(worker)
                worker.close()
            elif worker.child is not None:
                worker.child.renew(seconds)

    async def close(self) -> None:
        """End all workers and return when they are gone."""
        children = [worker.child for worker in self._workers if worker.child is not None]
        for worker in tuple(self._workers):
            worker.close()
        for child in children:
            await asyncio.shield(child.ended)

    def _take_idle(self, spec: WorkerSpec, bounds: Bounds) -> WarmWorker | None:
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index].fits(spec) and self._idle[index].bounds == bounds:
                return self._idle.pop(index)
        return None
