"""One coordinator and one runner over an in-memory broker."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

from kaon.dsl import Workflow
from kaon_coordinator.bootstrap import Application
from kaon_coordinator.notifications import channels
from kaon_coordinator.notifications.channels import Channels, read_channels
from kaon_coordinator.retention import Keep
from kaon_coordinator.settings import Settings as CoordinatorSettings
from kaon_coordinator.transport.base import Handler
from kaon_coordinator.transport.memory import MemoryGroup, MemoryTransport
from kaon_coordinator.transport.memory_records import MemoryRecords
from kaon_coordinator.view.sources import others_runs, own_runs
from kaon_embedded.state_directory import check_has_runs, database_url
from kaon_embedded.state_lock import StateLock
from kaon_runner.bootstrap import RunnerService, build_runner
from kaon_runner.settings import Settings as RunnerSettings
from kaon_runner.transport.memory import MemoryTransport as RunnerTransport
from kaon_service.call_settings import CallSettings
from kaon_service.thread import ApplicationThread
from kaon_wire.channels import in_this_process
from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.errors import KaonError, Unavailable
from kaon_wire.memory import MemoryBroker
from kaon_wire.topics import Catalogue
from kaonapi.workflow.v1 import definition_pb2 as d

# Lines travel in memory.
_LOG_SETTLE_SECONDS = 0.2
DEFAULT_POOL = "default"
PUBLISHER = "KAON_PUBLISHER"
_ENGINES = (
    "KAON_HIVE",
    "KAON_SPARK_CONNECT",
    "KAON_DOCKER_HOST",
    "KAON_DOCKER_NETWORKS",
    "KAON_RUNNER_ADDRESS",
    PUBLISHER,
)
_FOR_EVER = Keep(run_days=0, log_days=0, artifact_days=0)


@dataclass(frozen=True, kw_only=True)
class EmbeddedSettings:
    """Settings of an embedded system."""

    # Directory of the database, artifacts and step directories.
    state: Path
    # Steps that run at once.
    slots: int
    # Seconds that running steps have when the system is stopped.
    drain_seconds: float = 0.0
    # Where the API listens, host:port.
    address: str = "127.0.0.1:0"
    # Every commit reaches the disk; else the end of the machine may take the newest ones with it.
    durable: bool = False
    # Pools that steps may name; each has a runner with so many slots.
    pools: tuple[str, ...] = (DEFAULT_POOL,)
    # Types of steps that are looked for on this machine; empty: all.
    step_types: tuple[str, ...] = ()
    # A workflow publishes: without KAON_PUBLISHER, a publisher runs here and makes OCI layouts in `state`/models.
    publishes: bool = False
    # Who may call, what is recorded of calls, and how many of them are taken.
    calls: CallSettings = field(default_factory=CallSettings)
    # Read-only, beside the process that runs the state: decides, executes and deletes nothing.
    looking: bool = False

    @property
    def artifacts(self) -> str:
        """Return the base URL of the artifacts."""
        return (self.state.resolve() / "artifacts").as_uri()


class _Onlooker(MemoryTransport):
    """A transport without assignments: its coordinator owns no runs."""

    async def start(self, handler: Handler) -> None:
        """Do nothing: there is nothing to read."""

    async def failed(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()


def pools_of(definition: d.WorkflowDefinition) -> tuple[str, ...]:
    """Return the pools that the steps of a workflow name, and the default one."""
    named = {block.step.pool for block in all_blocks(definition.body) if block.step.pool}
    return tuple(sorted({DEFAULT_POOL, *named}))


def step_types_of(workflow: Workflow) -> tuple[str, ...]:
    """Return the types of the steps of a workflow and of its children; finding out what a machine has of others takes time."""
    found = {
        block.step.type
        for block in all_blocks(workflow.definition().body)
        if block.HasField("step")
    }
    return tuple(sorted(found.union(*(step_types_of(child) for child in workflow.children))))


@contextmanager
def look(state: Path) -> Iterator[str]:
    """Provide an address for viewing the runs in a directory of `kaon run --state`, within the context.

    Raises:
        NotFound: The directory contains no runs.
    """
    check_has_runs(state)
    with EmbeddedSystem(EmbeddedSettings(state=state, slots=0, looking=True)) as system:
        yield system.address


class EmbeddedSystem:
    """Kaon in this process; a context manager. `address` is that of its gRPC API, on this machine only.

    Args:
        settings: See `EmbeddedSettings`.
        runner: Makes its runners.
    """

    def __init__(
        self, settings: EmbeddedSettings, runner: Callable[..., RunnerService] = build_runner
    ) -> None:
        self._build_runner = runner
        # Absolute, since steps have working directories of their own.
        self._settings = replace(settings, state=settings.state.resolve())
        self._catalogue = Catalogue(
            run_partitions=1, pool_partitions=1, runner_partitions=1, pools=settings.pools
        )
        self._broker = MemoryBroker(self._catalogue.topics())
        self._coordinator = ApplicationThread("coordinator", self._make_coordinator)
        self._runners: list[RunnerService] = []
        self._lock = StateLock(settings.state)
        self._here = ExitStack()
        # Where the engines are that steps use, as for a runner of its own.
        self._engines = {variable: os.environ.get(variable, "") for variable in _ENGINES}
        self.address = ""

    def __enter__(self) -> EmbeddedSystem:
        self._settings.state.mkdir(parents=True, exist_ok=True)
        if not self._settings.looking:
            self._lock.acquire()
        try:
            self._publish_here()
            # Before the API answers: whoever calls finds the runners.
            self._start_runners()
            port = self._coordinator.start()
        except BaseException:
            self._stop_runners(0.0)
            self._here.close()
            self._lock.release()
            raise
        host = "" if self._settings.looking else self._settings.address.rpartition(":")[0]
        self.address = f"{host or '127.0.0.1'}:{port}"
        if not self._settings.calls.access.encrypts:
            self._here.enter_context(in_this_process(self.address, has_ended=self._has_failed))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop_runners(self._settings.drain_seconds)
        self._coordinator.stop()
        self._here.close()
        self._lock.release()
        if isinstance(error, Unavailable) and (failure := self._coordinator.failure) is not None:
            # Why nobody answers. That a connection was refused helps nobody.
            raise KaonError(f"Kaon in this process has ended: {failure}") from error

    def _has_failed(self) -> bool:
        return self._coordinator.failure is not None

    def _start_runners(self) -> None:
        if self._settings.looking:
            return
        self._runners = [self._make_runner(pool) for pool in self._settings.pools]
        for runner in self._runners:
            runner.start()

    def _stop_runners(self, drain_seconds: float) -> None:
        for runner in self._runners:
            runner.stop(drain_seconds)

    def _publish_here(self) -> None:
        """Start a publisher, if a workflow publishes and no other is named."""
        if not self._settings.publishes or self._engines[PUBLISHER]:
            return
        # Registries, Docker and Kafka: few workflows publish.
        from kaon_embedded.publishing import LocalPublisher

        publisher = LocalPublisher(self._settings.state, self._settings.artifacts)
        self._engines[PUBLISHER] = publisher.start()
        self._here.callback(publisher.stop)

    def wait(self) -> None:
        """Wait until something ends the coordinator.

        Raises:
            BaseException: That, or an interrupt.
        """
        self._coordinator.wait()

    def lacks(self, definition: d.WorkflowDefinition) -> list[str]:
        """Tell why steps of a workflow cannot be executed here: nobody else is going to."""
        types = self._runners[0].step_types if self._runners else None
        if types is None:
            return []
        missing: dict[str, list[str]] = {}
        for block in all_blocks(definition.body):
            if block.HasField("step") and block.step.type not in types.available:
                missing.setdefault(block.step.type, []).append(block.name)
        return [
            f"steps of type {kind!r} ({', '.join(names)}) cannot run here: {types.missing.get(kind, 'no such type is installed')}"
            for kind, names in missing.items()
        ]

    def _make_runner(self, pool: str) -> RunnerService:
        name = "" if pool == DEFAULT_POOL else f"-{pool}"
        settings = RunnerSettings.from_env(
            self._engines,
            runner_id=f"embedded{name}",
            pool=pool,
            slots=self._settings.slots,
            artifacts=self._settings.artifacts,
            work=self._settings.state / f"work{name}",
            scratch=self._scratch,
            step_types=self._settings.step_types,
        )
        return self._build_runner(settings, RunnerTransport(self._broker, pool=settings.pool))

    @property
    def _scratch(self) -> str:
        return (self._settings.state / "scratch").as_uri()

    def _channels(self) -> Channels:
        """Return the channels of KAON_NOTIFICATIONS; without that, workflows notify nobody and are run all the same."""
        file = "" if self._settings.looking else os.environ.get(channels.VARIABLE, "")
        return read_channels(file) if file else Channels(strict=False)

    def _make_coordinator(self) -> Application:
        settings = CoordinatorSettings(
            database=database_url(self._settings.state),
            address="127.0.0.1:0" if self._settings.looking else self._settings.address,
            artifacts=self._settings.artifacts,
            scratch="" if self._settings.looking else self._scratch,
            durability="synchronous" if self._settings.durable else "relaxed",
            owner="embedded",
            catalogue=self._catalogue,
            log_settle_seconds=_LOG_SETTLE_SECONDS,
            calls=self._settings.calls,
            channels=self._channels(),
            keep=_FOR_EVER if self._settings.looking else Keep(),
        )
        transport = (_Onlooker if self._settings.looking else MemoryTransport)(
            MemoryGroup(self._broker)
        )
        view = others_runs if self._settings.looking else own_runs
        return Application(settings, transport, records=MemoryRecords(self._broker), view=view)
