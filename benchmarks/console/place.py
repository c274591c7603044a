"""The system whose console is measured: broker, coordinator, runner, view service and console, each a process of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from playwright.sync_api import BrowserContext, sync_playwright

from kaon import load_workflow
from kaon.client import Client, Endpoints
from kaon_local.paths import ROOT
from kaon_local.system import System, SystemConfig
from kaonapi.view.v1 import view_service_pb2_grpc

FLOWS = Path(__file__).parent / "flows.py"
# Who looks: as calls to the view service carry it, and links.
METADATA = (("kaon-tenant", "default"), ("kaon-principal", "bench"))
# The path of the foreach of `flows.py`.
FOREACH = "items"
_SLOTS = 8


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

    def until_started(self, run_id: str) -> None:
        """Return when the foreach of a run has started."""
        for update in self.client.watch(run_id):
            if update.event.block_started.path == FOREACH:
                return

    def until_ended(self, run_id: str) -> None:
        """Return when a run has ended."""
        for _ in self.client.watch(run_id):
            pass

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


@contextmanager
def open_place() -> Iterator[Place]:
    """Start everything with an empty state."""
    state = ROOT / ".kaon" / "bench-console"
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
        yield Place(
            system=system,
            client=client,
            view=view_service_pb2_grpc.ViewServiceStub(channel),
            browser=context,
        )
