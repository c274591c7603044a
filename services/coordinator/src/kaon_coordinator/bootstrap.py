"""The composition root: builds a running coordinator from settings and a transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from kaon_artifacts import ArtifactStore
from kaon_coordinator import expressions
from kaon_coordinator.access.bounds import TenantBounds
from kaon_coordinator.access.grants import Grants
from kaon_coordinator.access.run_bounds import RunBounds
from kaon_coordinator.access.token_sources import StoreTenants, StoreTokens
from kaon_coordinator.api.feed import RunFeed
from kaon_coordinator.api.log_archive import LogArchive
from kaon_coordinator.api.others import Follow, OthersEvents
from kaon_coordinator.api.server import ApiParts, ApiServer
from kaon_coordinator.api.sinks import ApiSinks
from kaon_coordinator.collection import Collection
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.gauges import Gauges
from kaon_coordinator.matching.labels import parse_label_expression
from kaon_coordinator.notifications.notifier import Notifier
from kaon_coordinator.own_run_ids import OwnRunIds
from kaon_coordinator.retention import Retention
from kaon_coordinator.schedules.scheduler import Scheduler, SchedulerParts
from kaon_coordinator.schedules.topic_records import RecordSource
from kaon_coordinator.scratch import ScratchSpace
from kaon_coordinator.settings import Settings, advertised
from kaon_coordinator.shell.artifact_io import ArtifactIO
from kaon_coordinator.shell.coordinator import Coordinator
from kaon_coordinator.shell.lease_proofs import LeaseProofs
from kaon_coordinator.shell.outbox import unsigned
from kaon_coordinator.shell.shell_settings import Clocks, ShellSettings
from kaon_coordinator.snapshots import Snapshots
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.thread import StoreThread
from kaon_coordinator.store.view_reads import open_view_reads
from kaon_coordinator.telemetry import RunTelemetry
from kaon_coordinator.transport.base import Transport
from kaon_coordinator.view.parts import view_parts
from kaon_coordinator.view.read_threads import Threads
from kaon_coordinator.view.sources import SourceOf
from kaon_coordinator.view.view_server import SERVICE as VIEW_SERVICE
from kaon_coordinator.view.view_server import View
from kaon_service.access.access_settings import Auth, check_listeners
from kaon_service.access.building import guard_of
from kaon_service.access.calling import calling
from kaon_service.access.rates import Rates
from kaon_service.audit.auditing import Auditing
from kaon_service.background import BackgroundTasks
from kaon_service.databases import Durability
from kaon_telemetry.endpoint import MetricsServer
from kaon_telemetry.metrics import CoordinatorMetrics
from kaon_telemetry.tracing import NoSpans, Spans
from kaon_wire.definitions.validate import validate
from kaon_wire.errors import InvalidValue, NotFound
from kaonapi.run.v1 import history_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

log = structlog.get_logger(__name__)

STOP_SECONDS = 5.0
_DURABILITY = {"synchronous": Durability.FULL, "relaxed": Durability.RELAXED}


class Application:
    """One coordinator: `start`, then `wait` until it fails or is stopped, then `stop`.

    Args:
        settings: See `Settings`.
        transport: The transport, not started.
        spans: The receiver of traces; none by default. Closed by `stop`.
        records: Reads topics for the triggers of schedules; without it they report an error. Closed by `stop`.
        view: The source from which the view service hears of changes, when this process is to serve it, too.
        follow: Reads topic run-events, for what other coordinators' runs do; none where there are no others.
    """

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        spans: Spans | None = None,
        records: RecordSource | None = None,
        view: SourceOf | None = None,
        follow: Follow | None = None,
    ) -> None:
        self._settings = settings
        # Of this application alone: an embedded one may follow another in the same process.
        self._registry = CollectorRegistry()
        metrics = CoordinatorMetrics(self._registry)
        self._metrics_server: MetricsServer | None = None
        self._spans = spans or NoSpans()
        self._transport = transport
        self._store = StoreThread(
            open_store(settings.database, durability=_DURABILITY[settings.durability])
        )
        feed, archive = RunFeed(), LogArchive(self._store)
        self._scratch = ScratchSpace(settings.scratch, self._ended) if settings.scratch else None
        clocks, artifacts = Clocks(), ArtifactStore(settings.artifacts)
        self._artifact_io = ArtifactIO(artifacts, settings.limits)
        self._run_bounds = RunBounds(
            self._store, settings.tenants, authenticated=settings.calls.access.auth is Auth.ON
        )
        self._notifier = Notifier(self._store, settings.channels, clocks.now_us, metrics)
        run_ids = OwnRunIds(
            partitions=settings.catalogue.run_partitions,
            owned=self._owned,
        )
        self.coordinator = Coordinator(
            settings=ShellSettings(
                owner=settings.owner,
                catalogue=settings.catalogue,
                limits=settings.limits,
                lease_seconds=settings.lease_seconds,
                proofs=LeaseProofs(settings.lease_keys, required=settings.lease_tokens_required),
                heartbeats=settings.heartbeats,
                seal=settings.command_signer.seal if settings.command_signer else unsigned,
                tenants=settings.tenants,
                refusal=self._run_bounds.refusal,
                may_call=self._run_bounds.may_call,
                new_run_id=run_ids,
            ),
            store=self._store,
            transport=transport,
            meter=partial(expressions.Meter, settings.limits.cel_cost),
            sinks=_Sinks(
                feed,
                archive,
                self._scratch,
                RunTelemetry(metrics, self._spans, self._find_run),
                self._notifier.wake,
            ),
            clocks=clocks,
            artifact_io=self._artifact_io,
        )
        self._gauges = Gauges(metrics, self.coordinator, transport, settings.catalogue.pools)
        self._records = records
        self._scheduler = Scheduler(
            SchedulerParts(
                store=self._store,
                epochs=self.coordinator.epochs,
                wake=self.coordinator.wake_owner,
                records=records,
                partitions=settings.catalogue.run_partitions,
                now_us=clocks.now_us,
                new_run_id=run_ids,
                bounds=TenantBounds(self._store, settings.tenants),
                grants=Grants(self._store),
                limits=settings.limits,
            )
        )
        self._view = self._make_view(view, feed, artifacts, clocks) if view is not None else None
        self._auditing = Auditing(settings.calls.audit, settings.database, clocks.now_us)
        self._api = ApiServer(
            ApiParts(
                guard=guard_of(
                    settings.calls.access,
                    tokens=StoreTokens(self._store.store, self._store),
                    tenants=StoreTenants(self._store.store, self._store),
                    recorder=self._auditing.recorder,
                    rates=Rates(settings.calls.limits),
                ),
                calling=calling("coordinator", settings.calls.access),
                call_seconds=metrics.api_seconds,
                store=self._store.for_callers,
                artifacts=artifacts,
                validate=validator(settings.limits),
                entitlements=settings.tenants,
                limits=settings.limits,
                tenant_limits=settings.calls.limits,
                channels=settings.channels,
                feed=feed,
                logs=archive,
                matchers=self.coordinator.pools,
                pools=settings.catalogue.pools,
                owner=settings.owner,
                wake=self.coordinator.wake_owner,
                begin=self.coordinator.begin,
                new_run_id=run_ids,
                broker=transport,
                partitions=settings.catalogue.run_partitions,
                now_us=clocks.now_us,
                schedules_changed=self._scheduler.changed,
                settle_seconds=settings.log_settle_seconds,
            ),
            also=[*self._auditing.services, *([VIEW_SERVICE] if self._view is not None else [])],
        )
        self._auditing.add_to(self._api.grpc)
        if self._view is not None:
            self._view.add_to(self._api.grpc)
        self._others = OthersEvents(feed, follow, self._owns_all) if follow is not None else None
        self._snapshots = Snapshots(self._store, self.coordinator.open_runs)
        days = settings.keep.artifact_days
        self._collection = (
            Collection(self._store, artifacts, days=days, owner=settings.owner, metrics=metrics)
            if days
            else None
        )
        self._retention = Retention(self._store, settings.keep, clocks.now_us)
        self._tasks = BackgroundTasks()

    async def start(self) -> int:
        """Listen, join the other coordinators, and return the API's port.

        Raises:
            KaonError: A dependency does not answer.
        """
        check_listeners(
            self._settings.calls.access,
            {"KAON_ADDRESS": self._settings.address},
        )
        port = await self._api.start(self._settings.address)
        self.coordinator.told_at(advertised(self._settings, port))
        await self._run_bounds.refresh()
        await self._transport.start(self.coordinator)
        if self._settings.metrics:
            self._metrics_server = MetricsServer(
                self._settings.metrics,
                self._registry,
                healthy=lambda: self._api.ready,
                token=self._settings.metrics_token,
            )
        work: list[Callable[[], Coroutine[Any, Any, None]]] = [
            self.coordinator.run,
            self._transport.failed,
        ]
        work += [self._gauges.run, self._scheduler.run, self._retention.run, self._snapshots.run]
        work += [self._notifier.run, self._run_bounds.run]
        if self._auditing.keeps:
            work.append(self._auditing.run)
        if self._scratch is not None:
            work.append(self._scratch.run)
        if self._collection is not None:
            work.append(self._collection.run)
        if self._view is not None:
            work.append(self._view.run)
        if self._others is not None:
            work.append(self._others.run)
        for each in work:
            self._tasks.start(each.__qualname__, each())
        await self._api.serving(ready=True)
        log.info("coordinator ready", owner=self._settings.owner, port=port)
        return port

    async def wait(self) -> None:
        """Wait for a fatal error and raise it; the process must end then."""
        await self._tasks.wait()

    async def stop(self) -> None:
        """Shut down in order: finish pending work; the next owner derives the rest."""
        self.coordinator.hurry()
        await self._api.serving(ready=False)
        await self._api.stop(STOP_SECONDS)
        await self._transport.stop()
        await self._tasks.stop()
        if self._records is not None:
            await self._records.close()
        if self._view is not None:
            await self._view.close()
        await self._artifact_io.close()
        await self._auditing.close()
        await self._store.close()
        if self._metrics_server is not None:
            await asyncio.to_thread(self._metrics_server.close)
        await asyncio.to_thread(self._spans.close)

    def _owned(self) -> dict[int, int]:
        return self.coordinator.epochs()

    def _owns_all(self) -> bool:
        return len(self._owned()) >= self._settings.catalogue.run_partitions

    def _make_view(
        self, source: SourceOf, feed: RunFeed, artifacts: ArtifactStore, clocks: Clocks
    ) -> View:
        # Connections of its own: whoever looks does not take those of whoever decides.
        reads, threads = open_view_reads(self._settings.database), Threads()
        return View(
            view_parts(reads, artifacts, source(feed, reads, threads), clocks.now_us, threads)
        )

    def _find_run(self, run_id: str) -> RunState | None:
        return self.coordinator.find_run(run_id)

    async def _ended(self, run_ids: Iterable[str]) -> set[str]:
        return {
            run_id
            for run_id in run_ids
            if await self._store.read(_has_ended, self._store.store, run_id)
        }


class _Sinks(ApiSinks):
    """The API's sinks, telemetry, and the removal of an ended run's scratch space."""

    def __init__(
        self,
        feed: RunFeed,
        archive: LogArchive,
        scratch: ScratchSpace | None,
        telemetry: RunTelemetry,
        notify: Callable[[], None],
    ) -> None:
        super().__init__(feed, archive, notify)
        self._scratch = scratch
        self._telemetry = telemetry

    def committed(self, events: Sequence[history_pb2.HistoryEvent]) -> None:
        """Receive durable history events."""
        super().committed(events)
        self._telemetry.committed(events)
        if self._scratch is not None:
            for event in events:
                if event.HasField("run_ended"):
                    self._scratch.run_ended(event.run_id)


def _has_ended(store: RunStore, run_id: str) -> bool:
    try:
        return store.load_run(run_id).row.status in t.TERMINAL
    except NotFound:
        return True


def _label_problem(text: str) -> str:
    try:
        parse_label_expression(text)
    except InvalidValue as error:
        return str(error)
    return ""


def validator(limits: Limits) -> Callable[[d.WorkflowDefinition], list[str]]:
    """Return the validation of definitions under these limits, including expressions and labels."""
    return partial(validate, limits=limits, check_label=_label_problem)
