"""One coordinator and one runner over an in-memory broker."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from kaon_coordinator.bootstrap import Application
from kaon_coordinator.settings import Settings as CoordinatorSettings
from kaon_coordinator.transport.memory import MemoryGroup, MemoryTransport
from kaon_coordinator.transport.records import MemoryRecords
from kaon_runner.bootstrap import RunnerService, build_runner
from kaon_runner.settings import Settings as RunnerSettings
from kaon_runner.transport.memory import MemoryTransport as RunnerTransport
from kaon_service.background import until_first
from kaon_wire.memory import MemoryBroker
from kaon_wire.topics import Catalogue


@dataclass(frozen=True, kw_only=True)
class EmbeddedSettings:
    """What an embedded system needs to know."""

    # Where the database, artifacts and step directories are kept.
    state: Path
    # Steps that run at once.
    slots: int
    # Seconds that running steps get when the system is stopped.
    drain_seconds: float = 0.0


class EmbeddedSystem:
    """Kaon in this process; a context manager. `address` is where its gRPC API listens, on this machine only."""

    def __init__(self, settings: EmbeddedSettings) -> None:
        # Absolute, since steps have working directories of their own.
        self._settings = replace(settings, state=settings.state.resolve())
        self._catalogue = Catalogue(run_partitions=1, pool_partitions=1, runner_partitions=1)
        self._broker = MemoryBroker(self._catalogue.topics())
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run_coordinator, name="coordinator", daemon=True)
        self._runner: RunnerService | None = None
        self.address = ""

    def __enter__(self) -> EmbeddedSystem:
        self._settings.state.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        self._runner = self._make_runner()
        self._runner.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            self._runner.stop(self._settings.drain_seconds)
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    @property
    def failure(self) -> BaseException | None:
        """What has ended the coordinator, if anything."""
        return self._failure

    def _make_runner(self) -> RunnerService:
        settings = RunnerSettings(
            runner_id="embedded",
            slots=self._settings.slots,
            artifacts=self._artifacts,
            work=self._settings.state / "work",
            scratch=self._scratch,
        )
        return build_runner(settings, RunnerTransport(self._broker, pool=settings.pool))

    @property
    def _artifacts(self) -> str:
        return (self._settings.state / "artifacts").as_uri()

    @property
    def _scratch(self) -> str:
        return (self._settings.state / "scratch").as_uri()

    def _run_coordinator(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        settings = CoordinatorSettings(
            database=f"sqlite:///{quote(str(self._settings.state))}/kaon.db",
            address="127.0.0.1:0",
            artifacts=self._artifacts,
            scratch=self._scratch,
            durability="relaxed",
            owner="embedded",
            catalogue=self._catalogue,
        )
        transport = MemoryTransport(MemoryGroup(self._broker))
        application = Application(settings, transport, records=MemoryRecords(self._broker))
        self.address = f"127.0.0.1:{await application.start()}"
        self._ready.set()
        try:
            await until_first(application.wait(), self._stopping.wait())
        finally:
            await application.stop()
