"""What the page does when a part of the system is killed and comes back, or the network is bad."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from kaon import load_workflow
from kaon.client import Client, Endpoints
from kaon_console.doors import new_link
from kaon_local.service import Service
from kaon_local.system import System, SystemConfig
from kaon_service.principal import Principal

# One system for all: they stay together.
pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("console-failures"),
]

# Milliseconds; only for what never comes.
PATIENCE = 60_000
SOMEBODY = Principal(tenant="default", name="ada", roles=frozenset({"owner"}))
OLD = "What you see is from"
_FLOW = """
from kaon import Workflow, approval, steps

def work():
    print("worked")

wf = Workflow("held", approval("agree", roles=["owner"]) >> steps.python("work", work))
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A system of processes, and a browser that looks at one of its runs."""

    system: System
    client: Client
    page: Page
    flow: Path

    def part(self, name: str) -> Service:
        """One of its services."""
        found: Service | None = getattr(self.system, name)
        assert found is not None
        return found

    def look_at_a_new_run(self) -> str:
        """Submit a run that waits for an approval, show its events, and return its id."""
        run_id = self.client.submit(load_workflow(self.flow), {}).run.run_id
        self.page.goto(f"{self.origin}/runs/{run_id}?tab=events")
        expect(self.page.get_by_role("heading", level=1)).to_be_visible(timeout=PATIENCE)
        expect(self.page.get_by_text("agree").first).to_be_visible(timeout=PATIENCE)
        return run_id

    @property
    def origin(self) -> str:
        """Where the console is."""
        return f"http://{self.part('console').config.env['KAON_CONSOLE_ADDRESS']}"


@pytest.fixture(scope="module")
def place(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    state = tmp_path_factory.mktemp("failures")
    flow = tmp_path_factory.mktemp("flow") / "held.py"
    flow.write_text(_FLOW)
    config = SystemConfig(
        state=state / "kept",
        kept=False,
        runners=1,
        slots=1,
        engines=False,
        docker=False,
        publisher=False,
        console=True,
    )
    with System(config) as system:
        who = Endpoints(server=system.api, principal=SOMEBODY.name, roles=("owner",))
        with Client(who) as client:
            context = chromium.new_context(reduced_motion="reduce")
            found = Place(system=system, client=client, page=context.new_page(), flow=flow)
            logins = Path(found.part("console").config.env["KAON_CONSOLE_STATE"])
            found.page.goto(new_link(logins, found.origin, SOMEBODY, "/runs"))
            expect(found.page.get_by_role("heading", level=1)).to_be_visible(timeout=PATIENCE)
            yield found
            context.close()


@pytest.mark.parametrize("part", ["view", "console"])
def test_what_was_killed_comes_back_and_the_page_goes_on_with_nothing_lost_or_doubled(
    place: Place, part: str
) -> None:
    run_id = place.look_at_a_new_run()
    banner = place.page.get_by_text(OLD)
    place.part(part).kill()
    expect(banner).to_be_visible(timeout=PATIENCE)
    # What happens meanwhile is shown afterwards.
    place.client.answer(run_id, "agree", approved=True)
    for _ in place.client.watch(run_id):
        pass
    place.part(part).restart()
    expect(banner).to_have_count(0, timeout=PATIENCE)
    expect(place.page.get_by_text("run ended")).to_be_visible(timeout=PATIENCE)
    newest = max(event.seq for event in place.client.history(run_id))
    rows = place.page.get_by_label("Events").locator("li")
    expect(rows).to_have_count(newest, timeout=PATIENCE)
    shown = [int(text.split()[0]) for text in rows.all_inner_texts()]
    assert sorted(shown) == list(range(1, newest + 1))


def test_a_command_that_nobody_took_says_so_and_counts_once_when_it_is_sent_again(
    place: Place,
) -> None:
    run_id = place.look_at_a_new_run()
    place.page.goto(f"{place.origin}/runs/{run_id}?step=agree")
    approve = place.page.get_by_role("button", name="Approve", exact=True)
    expect(approve).to_be_enabled(timeout=PATIENCE)
    place.part("coordinator").kill()
    approve.click()
    expect(place.page.get_by_text("does not answer").first).to_be_visible(timeout=PATIENCE)
    place.part("coordinator").restart()
    approve.click()
    for _ in place.client.watch(run_id):
        pass
    expect(place.page.get_by_text("1 of 1 step succeeded")).to_be_visible(timeout=PATIENCE)
    answers = [each for each in place.client.history(run_id) if each.HasField("gate_answered")]
    assert len(answers) == 1


def test_a_slow_network_shows_that_something_is_loading(place: Place) -> None:
    session = place.page.context.new_cdp_session(place.page)
    slow = {
        "offline": False,
        "latency": 400,
        "downloadThroughput": 60_000,
        "uploadThroughput": 60_000,
    }
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", slow)
    try:
        place.page.goto(f"{place.origin}/runs")
        expect(place.page.get_by_text("held").first).to_be_visible(timeout=PATIENCE)
        expect(place.page.get_by_text(OLD)).to_have_count(0)
    finally:
        session.send(
            "Network.emulateNetworkConditions",
            slow | {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
        )
