"""The system whose console is measured: broker, coordinator, runner, view service and console, each a process of its own."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import grpc
from playwright.sync_api import BrowserContext, sync_playwright

from kaon import load_workflow
from kaon.client import Client, Endpoints
from kaon_local.system import System, SystemConfig
from kaonapi.run.v1 import run_pb2
from kaonapi.view.v1 import view_service_pb2_grpc

FLOWS = Path(__file__).parent / "flows.py"
# Who looks: as calls to the view service carry it, and links.
METADATA = (("kaon-tenant", "default"), ("kaon-principal", "bench"))
# The path of the foreach of `flows.py`.
FOREACH = "items"
_SLOTS = 8
# Between two looks at the database: what is committed in between counts as committed at the later one.
_LOOK_SECONDS = 0.01
# What runs before anything is measured.
_WARM_RUNS, _WARM_CELLS = 3, 2_000


class RunRow(NamedTuple):
    """What is committed of a run."""

    seq: int
    status: int
    # Microseconds since the epoch; 0 until it ends.
    end_us: int
    steps_total: int
    steps_succeeded: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """The system, and ways to it."""

    system: System
    client: Client
    view: view_service_pb2_grpc.ViewServiceStub
    browser: BrowserContext

    @property
    def origin(self) -> str:
        """Where the console is."""
        assert self.system.console is not None
        return f"http://{self.system.console.config.env['KAON_CONSOLE_ADDRESS']}"

    @property
    def database(self) -> Path:
        """The coordinator's SQLite file."""
        return self.system.config.state / "coordinator" / "kaon.db"

    @property
    def view_address(self) -> str:
        """Where the view service is."""
        assert self.system.view is not None
        return self.system.view.config.env["KAON_VIEW_ADDRESS"]

    def submit(self, name: str, **params: object) -> str:
        """Submit a run of a workflow of `flows.py`, and return its id."""
        return self.client.submit(load_workflow(FLOWS, name), params).run.run_id

    def row(self, run_id: str) -> RunRow:
        """Read what is committed of a run."""
        with self._reading() as database:
            return _row(database, run_id)

    def rows(self, run_id: str) -> Iterator[RunRow]:
        """Read what is committed of a run again and again, up to its end.

        Nothing is asked of the system. To follow a run by its events takes from coordinator and machine up to a quarter of
        what the run itself takes.

        Raises:
            RuntimeError: The run has not succeeded.
        """
        with self._reading() as database:
            while not (row := _row(database, run_id)).end_us:
                yield row
                time.sleep(_LOOK_SECONDS)
        yield row
        if row.status != run_pb2.STATUS_SUCCEEDED:
            raise RuntimeError(f"run {run_id} did not succeed: {row}")

    def until_started(self, run_id: str) -> None:
        """Return when the foreach of a run has started.

        Raises:
            RuntimeError: The run has failed before.
        """
        next(row for row in self.rows(run_id) if row.steps_total > 1)

    def until_ended(self, run_id: str) -> None:
        """Return when a run has succeeded.

        Raises:
            RuntimeError: It has ended in another way.
        """
        for _ in self.rows(run_id):
            pass

    def warm(self) -> None:
        """Start workers, and have broker and services load and compile what they need."""
        for _ in range(_WARM_RUNS):
            file = str(self.system.config.state / "warm.items")
            self.until_ended(self.submit("bench-cells", file=file, count=_WARM_CELLS))

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            yield database

    def parts(self) -> Mapping[str, Sequence[int]]:
        """Return the first processes of each part."""
        system = self.system
        assert system.view is not None
        assert system.console is not None
        return {
            "broker": system.kafka.pids,
            "coordinator": system.coordinator.pids,
            "runner": [pid for each in system.runners for pid in each.pids],
            "view": system.view.pids,
            "console": system.console.pids,
        }


def _row(database: sqlite3.Connection, run_id: str) -> RunRow:
    columns = ", ".join(RunRow._fields)
    query = f"SELECT {columns} FROM runs WHERE run_id = ?"
    return RunRow(*database.execute(query, (run_id,)).fetchone())


@contextmanager
def open_place(state: Path) -> Iterator[Place]:
    """Start everything with an empty state in a directory."""
    shutil.rmtree(state, ignore_errors=True)
    with ExitStack() as stack:
        config = SystemConfig(
            state=state,
            runners=1,
            slots=_SLOTS,
            engines=False,
            docker=False,
            publisher=False,
            console=True,
        )
        system = stack.enter_context(System(config))
        client = stack.enter_context(Client(Endpoints(server=system.api, principal="bench")))
        assert system.view is not None
        channel = grpc.insecure_channel(
            system.view.config.env["KAON_VIEW_ADDRESS"], [("grpc.max_receive_message_length", -1)]
        )
        stack.callback(channel.close)
        playwright = stack.enter_context(sync_playwright())
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        stack.callback(chromium.close)
        context = chromium.new_context(
            viewport={"width": 1280, "height": 800}, reduced_motion="reduce"
        )
        page = context.new_page()
        page.goto(system.console_link("/runs"))
        page.close()
        place = Place(
            system=system,
            client=client,
            view=view_service_pb2_grpc.ViewServiceStub(channel),
            browser=context,
        )
        place.warm()
        yield place
