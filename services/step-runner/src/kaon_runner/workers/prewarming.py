"""Prewarming: starts workers in advance, for the code bundles in the settings."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

import structlog

from kaon_runner.artifacts.base import Artifacts
from kaon_runner.settings import Settings
from kaon_runner.steptypes.python import worker_of
from kaon_runner.supervision.child import Bounds
from kaon_runner.workers.pool import WorkerPool
from kaon_wire.errors import KaonError

log = structlog.get_logger(__name__)


async def prewarm(
    settings: Settings, artifacts: Artifacts, pool: WorkerPool, executor: Executor
) -> None:
    """Unpack each bundle and start workers for it; the slots are divided among the bundles.

    An unavailable bundle is logged and skipped: its steps will report it.
    """
    loop = asyncio.get_running_loop()
    bounds = Bounds(pids=settings.step_processes)
    for digest in settings.prewarm:
        try:
            path = await loop.run_in_executor(executor, artifacts.bundle, digest)
            for _ in range(max(1, settings.slots // len(settings.prewarm))):
                await pool.warm(worker_of(digest, path, settings.python), bounds)
        except KaonError as error:
            log.warning("worker not prewarmed", bundle=digest, reason=str(error))
