"""An address of something that is not there says so, and offers a way on."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from .looking import DESKTOP, looking
from .test_states import PAGES
from .world import SOMEBODY, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

# Milliseconds; only for what never comes.
PATIENCE = 30_000
_NOT_THERE = re.compile("Not found|there is no event 999999")
# Of each page of the router that names something: an address of nothing, and where the way on leads.
LOST = {
    "/runs/$runId": ("/runs/nothing", "All runs", r"/runs$"),
    "/launch/$workflow": ("/launch/nothing", "All workflows", r"/launch$"),
    "/datasets/$name": ("/datasets/nothing", "All datasets", r"/datasets$"),
}
# The same for what an address names in a run that is there.
WITHIN = {
    "step": ("?step=nothing", "Show the whole run", r"/runs/[a-z0-9]+$"),
    "cell": ("?step=items[nothing]", "Show the whole run", r"/runs/[a-z0-9]+$"),
    "step in a cell": ("?step=items[nothing]/cell", "Show the whole run", r"/runs/[a-z0-9]+$"),
    "foreach": ("?cells=nothing", "Show the whole run", r"/runs/[a-z0-9]+$"),
    "event": ("?seq=999999", "Show the run as it is now", r"/runs/[a-z0-9]+$"),
}


def test_every_page_that_names_something_is_tried_without_it() -> None:
    assert LOST.keys() == {route for route in PAGES if "$" in route}


def test_what_is_not_there_says_so_and_offers_a_way_on(chromium: Browser, world: World) -> None:
    places = LOST | {
        name: (f"/runs/{world.wide}{search}", way, leads)
        for name, (search, way, leads) in WITHIN.items()
    }
    with looking(chromium, world.console, DESKTOP) as window:
        window.log_in(SOMEBODY)
        page = window.page
        for name, (path, way, leads) in places.items():
            page.goto(world.console.origin + path)
            alert = page.get_by_role("alert").filter(has_text=_NOT_THERE).first
            expect(alert, name).to_be_visible(timeout=PATIENCE)
            window.picture(f"lost-{name.strip('/').replace('/', '-').replace(' ', '-')}")
            alert.get_by_text(way, exact=True).click()
            page.wait_for_url(re.compile(leads), timeout=PATIENCE)
            expect(page.get_by_role("alert").filter(has_text=_NOT_THERE)).to_have_count(0)


def test_a_run_that_is_not_found_is_searched_for_and_its_tenant_is_told(
    chromium: Browser, world: World
) -> None:
    with looking(chromium, world.console, DESKTOP) as window:
        window.log_in(SOMEBODY)
        page, part = window.page, world.tour[-8:]
        page.goto(f"{world.console.origin}/runs/{part}")
        expect(page.get_by_text("You see the runs of tenant default")).to_be_visible(
            timeout=PATIENCE
        )
        page.get_by_role("link", name=f"Search for {part}").click()
        row = page.get_by_role("row").filter(has_text=part)
        expect(row.first).to_be_visible(timeout=PATIENCE)


def test_a_line_that_the_log_does_not_have_is_named(chromium: Browser, world: World) -> None:
    with looking(chromium, world.console, DESKTOP) as window:
        window.log_in(SOMEBODY)
        page = window.page
        for step, line, text in (
            ("list", "1.1.999", "The step printed nothing"),
            ("items[0]/cell", "1.1.999", "The log has no such line as the link names."),
        ):
            window.go(f"/runs/{world.wide}?step={step}&panel=logs&line={line}")
            expect(page.get_by_text(text)).to_be_visible(timeout=PATIENCE)
            expect(page.get_by_role("button", name="Restart from here")).to_be_visible()
        window.go(f"/runs/{world.wide}?step=items[0]/cell&panel=logs")
        page.get_by_role("button", name=re.compile("^Link to line")).first.click()
        page.wait_for_url("**line=**", timeout=PATIENCE)
        window.go(page.url.removeprefix(world.console.origin))
        expect(page.get_by_text("looked at cell 0")).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_text("no such line")).to_have_count(0)
