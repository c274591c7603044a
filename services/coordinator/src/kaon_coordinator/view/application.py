"""The composition root of the view service as a process of its own."""

from __future__ import annotations

import asyncio
import time

import structlog
from prometheus_client import CollectorRegistry

from kaon_artifacts import ArtifactStore
from kaon_coordinator.access.token_sources import StoreTenants, StoreTokens
from kaon_coordinator.store.view_reads import ViewReads, open_view_reads
from kaon_coordinator.view.kafka_source import kafka_source
from kaon_coordinator.view.parts import view_parts
from kaon_coordinator.view.read_threads import Threads
from kaon_coordinator.view.sources import polling_source
from kaon_coordinator.view.view_server import View, ViewServer
from kaon_coordinator.view.view_settings import Settings
from kaon_service.access.access_settings import check_listeners
from kaon_service.access.building import guard_of
from kaon_service.access.rates import Rates
from kaon_service.audit.auditing import Auditing
from kaon_service.background import BackgroundTasks
from kaon_telemetry.endpoint import MetricsServer
from kaon_telemetry.metrics import ViewMetrics
from kaon_wire.errors import Unavailable

log = structlog.get_logger(__name__)

_STOP_SECONDS = 2.0
# How long the service waits for a coordinator to make the tables, and between two looks.
_PATIENCE_SECONDS = 120.0
_AGAIN_SECONDS = 1.0
# Between two looks at the database, where there is no broker.
POLL_SECONDS = 0.25


class Application:
    """One view service: `start`, then `wait` until something ends it, then `stop`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tasks = BackgroundTasks()
        self._view: View | None = None
        self._server: ViewServer | None = None
        self._auditing: Auditing | None = None
        self._access_threads: Threads | None = None
        self._metrics_server: MetricsServer | None = None

    async def start(self) -> int:
        """Listen, and returns the port.

        Raises:
            Unavailable: the database does not answer, or has no tables of this version.
        """
        check_listeners(
            self._settings.calls.access,
            {"KAON_VIEW_ADDRESS": self._settings.address},
        )
        reads = await self._opened()
        settings, threads = self._settings, Threads()
        if settings.kafka:
            source = kafka_source(
                settings.kafka, settings.kafka_security, settings.catalogue.run_partitions
            )
        else:
            source = polling_source(reads, threads, POLL_SECONDS)
        artifacts = ArtifactStore(settings.artifacts)
        self._view = View(view_parts(reads, artifacts, source, _now_us, threads))
        registry = CollectorRegistry()
        metrics = ViewMetrics(registry)
        metrics.watches.set_function(lambda: self._view.watches if self._view is not None else 0)
        self._auditing = await asyncio.to_thread(
            Auditing, settings.calls.audit, settings.database, _now_us
        )
        # Connections for readers are one more than the threads of the view.
        self._access_threads = callers = Threads(1)
        guard = guard_of(
            settings.calls.access,
            tokens=StoreTokens(reads.store, callers),
            tenants=StoreTenants(reads.store, callers),
            recorder=self._auditing.recorder,
            rates=Rates(settings.calls.limits),
        )
        self._server = server = ViewServer(self._view, guard, metrics.call_seconds)
        port = await server.start(settings.address)
        if settings.metrics:
            self._metrics_server = MetricsServer(
                settings.metrics,
                registry,
                healthy=lambda: server.ready,
                token=settings.metrics_token,
            )
        self._tasks.start("view", self._view.run())
        await self._server.serving(ready=True)
        log.info("view ready", port=port)
        return port

    async def wait(self) -> None:
        """Never return: raise what makes it impossible to go on."""
        await self._tasks.wait()

    async def stop(self) -> None:
        """End in order."""
        if self._server is not None:
            await self._server.serving(ready=False)
            await self._server.stop(_STOP_SECONDS)
        await self._tasks.stop()
        if self._access_threads is not None:
            await self._access_threads.close()
        if self._view is not None:
            await self._view.close()
        if self._auditing is not None:
            await self._auditing.close()
        if self._metrics_server is not None:
            await asyncio.to_thread(self._metrics_server.close)

    async def _opened(self) -> ViewReads:
        """Return the database, once a coordinator has made its tables."""
        patience = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return await asyncio.to_thread(open_view_reads, self._settings.database)
            except Unavailable as error:
                if time.monotonic() > patience:
                    raise
                log.info("waiting for the database", reason=str(error))
                await asyncio.sleep(_AGAIN_SECONDS)


def _now_us() -> int:
    return time.time_ns() // 1_000
