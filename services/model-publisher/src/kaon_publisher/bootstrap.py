"""The composition root: builds a running publisher from settings."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

import kaon_publisher
from kaon_artifacts import ArtifactStore
from kaon_publisher.announcing import Announcer, KafkaBroker, Notifier
from kaon_publisher.calls import call_rules
from kaon_publisher.checking import Engine
from kaon_publisher.housekeeping import Housekeeping
from kaon_publisher.publishing import Publishing
from kaon_publisher.pushing import LayoutTarget, RegistryTarget
from kaon_publisher.service import ModelServicer
from kaon_publisher.settings import Settings
from kaon_publisher.store.registry import ModelStore
from kaon_service.access.access_settings import Auth, check_listeners
from kaon_service.access.building import guard_of
from kaon_service.access.calling import calling
from kaon_service.access.rates import Rates
from kaon_service.access.remote import RemoteAccess
from kaon_service.audit.auditing import Auditing
from kaon_service.background import BackgroundTasks
from kaon_service.server import GrpcServer
from kaon_telemetry.endpoint import MetricsServer
from kaon_telemetry.metrics import PublisherMetrics
from kaonapi.model.v1 import model_pb2, model_pb2_grpc

log = structlog.get_logger(__name__)

SERVICE = model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name
STOP_SECONDS = 5.0


class Application:
    """One publisher: `start`, then `wait`, then `stop`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = ModelStore(settings.database)
        self._notifier = Notifier()
        self._auditing = Auditing(settings.calls.audit, settings.database, now_us)
        self._broker = (
            KafkaBroker(settings.kafka, settings.kafka_security) if settings.kafka else None
        )
        self._tasks = BackgroundTasks()
        self._registry = CollectorRegistry()
        self._metrics_server: MetricsServer | None = None
        # A coordinator, which tells whose tokens callers show.
        access, how = settings.calls.access, calling("publisher", settings.calls.access)
        self._coordinator = how.channels.open_async(settings.server)
        known = RemoteAccess(self._coordinator, lambda: how.own_metadata)
        self._lacks = known.missing_artifacts if access.auth is Auth.ON else None
        guard = guard_of(
            access,
            tokens=known,
            tenants=known,
            recorder=self._auditing.recorder,
            rates=Rates(settings.calls.limits),
            leases=settings.lease_keys,
        )
        self._server = GrpcServer([SERVICE, *self._auditing.services], call_rules(guard))

    async def start(self) -> int:
        """Listen and return the port.

        Raises:
            KaonError: A dependency in the settings does not answer.
        """
        settings = self._settings
        check_listeners(
            settings.calls.access,
            {"KAON_PUBLISHER_ADDRESS": settings.address},
        )
        publishing = build_publishing(settings, self._store)
        metrics = PublisherMetrics(self._registry)
        if self._settings.metrics:
            self._metrics_server = MetricsServer(
                self._settings.metrics,
                self._registry,
                healthy=lambda: self._server.ready,
                token=self._settings.metrics_token,
            )
        servicer = ModelServicer(
            store=self._store,
            publishing=publishing,
            notifier=self._notifier,
            metrics=metrics,
            lacks=self._lacks,
        )
        model_pb2_grpc.add_ModelServiceServicer_to_server(servicer, self._server.grpc)
        self._auditing.add_to(self._server.grpc)
        port = await self._server.start(self._settings.address)
        if self._auditing.keeps:
            self._tasks.start("audit", self._auditing.run())
        if self._broker is not None:
            announcer = Announcer(self._store, self._notifier, self._broker)
            self._tasks.start("announcer", announcer.run())
        housekeeping = Housekeeping(
            store=self._store,
            target=publishing.target,
            pushing=publishing.pushing,
            keep=self._settings.keep,
            now_us=now_us,
        )
        self._tasks.start("housekeeping", housekeeping.run(self._settings.housekeeping_seconds))
        await self._server.serving(ready=True)
        log.info("publisher ready", port=port, checked=publishing.checker is not None)
        return port

    async def wait(self) -> None:
        """Wait for a fatal error and raise it; the process must end then."""
        await self._tasks.wait()

    async def stop(self) -> None:
        """Shut down in order; the step of an unfinished publication requests it again."""
        await self._server.serving(ready=False)
        await self._server.stop(STOP_SECONDS)
        await self._tasks.stop()
        if self._broker is not None:
            await asyncio.to_thread(self._broker.close)
        if self._metrics_server is not None:
            await asyncio.to_thread(self._metrics_server.close)
        await self._coordinator.close()
        await self._auditing.close()
        self._store.close()


def now_us() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1000


def build_publishing(settings: Settings, store: ModelStore) -> Publishing:
    """Return the dependencies of publications, as far as this machine and the settings provide them.

    Raises:
        EngineUnavailable: A serving base is set, so models are to be run, but no engine answers.
    """
    checker = (
        Engine(settings.docker_host, settings.layouts / "base") if settings.serving_base else None
    )
    target = (
        RegistryTarget(settings.registry, settings.registry_internal, settings.registry_access)
        if settings.registry
        else LayoutTarget(settings.layouts)
    )
    app = Path(kaon_publisher.__file__).with_name("serve_app.py").read_bytes()
    return Publishing(
        artifacts=ArtifactStore(settings.artifacts),
        checker=checker,
        unchecked_because="no Docker engine and no serving base are set (KAON_SERVING_BASE)",
        serving_base=settings.serving_base,
        target=target,
        app=app,
        before_push=lambda tenant, model, digest: store.begin_push(tenant, model, digest, now_us()),
        pushing=threading.Lock(),
    )
