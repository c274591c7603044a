"""Every page, on the real system, as people see it: nothing fails, nobody is kept out, and a picture is kept."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect

from kaon import load_workflow

from .looking import DARK, DESKTOP, MOBILE, Look, Looking, looking
from .world import HOSTILE, SOMEBODY, STRANGER, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

LOOKS = (DESKTOP, MOBILE, DARK)


def paths(world: World) -> dict[str, str]:
    """The pages by the names of their pictures."""
    return {
        "overview": "/",
        "runs": "/runs",
        "run": f"/runs/{world.tour}",
        "run-step": f"/runs/{world.tour}?step=cycle%231/split",
        "run-logs": f"/runs/{world.wide}?step=list&panel=logs",
        "run-timeline": f"/runs/{world.tour}?tab=timeline",
        "run-events": f"/runs/{world.tour}?tab=events",
        "run-outputs": f"/runs/{world.tour}?tab=outputs",
        "run-code": f"/runs/{world.tour}?tab=code",
        "run-past": f"/runs/{world.tour}?seq=12",
        "run-cells": f"/runs/{world.wide}?cells=items",
        "run-failed": f"/runs/{world.wide}",
        "run-waiting": f"/runs/{world.waiting}",
        "launch": "/launch",
        "launch-form": "/launch/tour",
    }


@pytest.mark.timeout(600)
def test_every_page_works_and_keeps_nobody_out_however_it_is_looked_at(
    chromium: Browser, world: World, axe: Path
) -> None:
    found = {}
    with looking(chromium, world.console, LOOKS[0]) as window:
        window.log_in(SOMEBODY)
        for number, (name, path) in enumerate(paths(world).items()):
            # A page is loaded once, in each look in its turn, and follows as the look changes.
            turn = number % len(LOOKS)
            for look in (*LOOKS[turn:], *LOOKS[:turn]):
                window.look(look)
                if look is LOOKS[turn]:
                    window.go(path)
                found[f"{name}, {look.name}"] = _faults(window, name, axe, look)
    assert {name: each for name, each in found.items() if each} == {}


def _faults(window: Looking, name: str, axe: Path, look: Look) -> list[str]:
    window.picture(name)
    # In the dark the page is the light one in other colours.
    barriers = window.barriers(axe, only_colours=look is DARK)
    found = [*window.take_problems(), *barriers]
    if (titles := window.headings()) != 1:
        found.append(f"{titles} titles (h1)")
    if (wider := window.overflow()) > 0:
        found.append(f"{wider} pixels wider than the window")
    return found


def test_on_a_phone_the_drawing_of_a_run_has_most_of_the_page(
    chromium: Browser, world: World
) -> None:
    with looking(chromium, world.console, MOBILE) as window:
        window.log_in(SOMEBODY)
        # One with an error and parameters, and one that asks for an answer: their headers hold the most.
        for run_id in (world.wide, world.hostile):
            window.go(f"/runs/{run_id}")
            drawing = window.page.get_by_role("group", name="The workflow.")
            expect(drawing).to_be_visible(timeout=30_000)
            tabs = window.page.get_by_role("tablist").bounding_box()
            assert tabs is not None
            assert tabs["y"] + tabs["height"] < MOBILE.height * 0.45
            box = drawing.bounding_box()
            assert box is not None
            assert box["height"] > MOBILE.height * 0.38


@pytest.mark.parametrize("look", [DESKTOP, DARK], ids=lambda look: look.name)
def test_dialogs_keep_nobody_out(chromium: Browser, world: World, axe: Path, look: Look) -> None:
    found = {}
    with looking(chromium, world.console, look) as window:
        window.log_in(SOMEBODY)
        page, dialog = window.page, window.page.get_by_role("dialog")
        for name, path, opened_by in (
            ("cancel", f"/runs/{world.waiting}", ("More actions", "Cancel")),
            ("retry", f"/runs/{world.wide}", ("Retry",)),
            ("fork", f"/runs/{world.tour}?seq=12", ("Fork from here",)),
            ("record", "/datasets", ("Record an update",)),
            ("bulk-cancel", "/runs?workflow=gates", ("Cancel",)),
        ):
            window.go(path)
            if path.startswith("/runs?"):
                rows = page.get_by_role("row").filter(has_text=world.waiting[-8:])
                rows.get_by_role("checkbox").first.check()
            page.get_by_role("button", name=opened_by[0], exact=True).first.click()
            if len(opened_by) > 1:
                item = page.get_by_role("menuitem", name=opened_by[1])
                expect(item).to_be_visible(timeout=30_000)
                found[f"{name}, menu"] = window.barriers(axe)
                item.click()
            expect(dialog).to_be_visible(timeout=30_000)
            expect(page.get_by_text("Asks what it would do")).to_have_count(0, timeout=30_000)
            window.picture(f"dialog-{name}")
            found[name] = [*window.take_problems(), *window.barriers(axe)]
            page.keyboard.press("Escape")
            expect(dialog).to_have_count(0, timeout=30_000)
            opener = page.get_by_role("button", name=opened_by[0], exact=True).first
            expect(opener, name).to_be_focused()
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize("look", [DESKTOP, DARK], ids=lambda look: look.name)
def test_what_opens_on_demand_keeps_nobody_out_and_gives_the_focus_back(
    chromium: Browser, world: World, axe: Path, look: Look
) -> None:
    """Menus, panels, the palette and the list of shortcuts: opened by the keyboard, left by Escape."""
    found: dict[str, list[str]] = {}
    with looking(chromium, world.console, look) as window:
        window.log_in(SOMEBODY)
        page = window.page
        for name, path, button, opened in (
            ("account", "/", re.compile("^Account and settings"), "[role=dialog]"),
            ("columns", "/runs", "Columns", "[role=menu]"),
            ("filter", "/runs", "Filter", "[role=dialog]"),
            ("parameters", f"/runs/{world.wide}", re.compile("show all"), "[role=dialog]"),
            ("actions", f"/runs/{world.wide}", "More actions", "[role=menu]"),
            ("search", "/", re.compile("^Search"), "[role=dialog]"),
            ("shortcuts", "/", re.compile("^Shortcuts"), "[role=dialog]"),
        ):
            window.go(path)
            control = page.get_by_role("button", name=button).first
            control.focus()
            page.keyboard.press("Enter")
            expect(page.locator(opened).first).to_be_visible(timeout=30_000)
            expect(page.locator(f"{opened} :focus, {opened}:focus").first).to_be_attached()
            window.picture(f"open-{name}")
            found[name] = window.barriers(axe)
            page.keyboard.press("Escape")
            expect(page.locator(opened)).to_have_count(0, timeout=30_000)
            expect(page.get_by_role("button", name=button).first).to_be_focused()
        assert window.take_problems() == []
    assert {name: each for name, each in found.items() if each} == {}


def test_texts_of_others_stay_texts(chromium: Browser, world: World) -> None:
    with looking(chromium, world.console, DESKTOP) as window:
        window.log_in(SOMEBODY)
        for name, path in {
            "hostile-overview": "/",
            "hostile-runs": "/runs",
            "hostile-run": f"/runs/{world.hostile}",
            "hostile-step": f"/runs/{world.hostile}?step=say",
            "hostile-logs": f"/runs/{world.hostile}?step=say&panel=logs",
            "hostile-cells": f"/runs/{world.hostile}?cells=items",
            "hostile-timeline": f"/runs/{world.hostile}?tab=timeline",
            "hostile-events": f"/runs/{world.hostile}?tab=events",
            "hostile-outputs": f"/runs/{world.hostile}?tab=outputs",
            "hostile-code": f"/runs/{world.hostile}?tab=code",
            "hostile-form": "/launch/hostile",
            "hostile-search": f"/runs?text={quote(HOSTILE[0])}",
        }.items():
            window.go(path)
            window.picture(name)
            assert window.take_problems() == [], name
            assert window.page.evaluate("window.owned") is None, name
            made = window.page.locator(
                "main script, main [onerror], main [onload], main iframe, a[href^='javascript:' i]"
            )
            expect(made).to_have_count(0)
            assert "\u202e" not in window.page.locator("body").inner_text(), (
                f"{name}: it turns what follows around"
            )


def test_without_a_session_the_page_says_how_to_log_in(chromium: Browser, world: World) -> None:
    with looking(chromium, world.console, DESKTOP) as window:
        window.go(f"/runs/{world.tour}")
        window.picture("signed-out")
        assert world.tour not in window.page.locator("body").inner_text()
        assert {each.split(": ")[0] for each in window.take_problems()} == {"status 401"}


def test_another_tenants_run_is_none(chromium: Browser, world: World) -> None:
    with looking(chromium, world.console, DESKTOP) as window:
        window.log_in(STRANGER)
        window.go("/runs")
        window.picture("runs-empty")
        assert window.take_problems() == []
        assert world.tour not in window.page.content()
        window.go(f"/runs/{world.tour}")
        window.picture("run-not-found")
        assert "cycle" not in window.page.locator("main").inner_text()


def test_a_page_that_lost_its_server_says_so_and_comes_back(
    chromium: Browser, world: World
) -> None:
    with looking(chromium, world.console, DESKTOP) as window:
        window.log_in(SOMEBODY, "/runs")
        window.context.set_offline(True)
        window.page.get_by_role("link", name="Launch").first.click()
        expect(window.page.get_by_text("does not answer").first).to_be_visible(timeout=30_000)
        window.picture("offline")
        window.context.set_offline(False)
        window.go("/runs")
        expect(window.page.get_by_text("tour").first).to_be_visible(timeout=30_000)


def _left(page: Page, session: CDPSession) -> int:
    """Return how many nodes are kept that do not stand in the page."""
    session.send("HeapProfiler.collectGarbage")
    metrics = session.send("Performance.getMetrics")["metrics"]
    kept = next(int(each["value"]) for each in metrics if each["name"] == "Nodes")
    return kept - _shown(page)


def _shown(page: Page) -> int:
    """Return how many nodes stand in the page."""
    return int(
        page.evaluate(
            "() => { const all = document.createTreeWalker(document); let n = 1; while (all.nextNode()) n++; return n; }"
        )
    )


def test_pages_that_were_left_are_let_go(chromium: Browser, world: World) -> None:
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        # The newest run stands first: those of other tests push older ones out of what the list renders.
        run_id = client.submit(load_workflow(world.file, "wide"), {"count": 20}).run.run_id
        for _ in client.watch(run_id):
            pass
        window.log_in(SOMEBODY, "/runs")
        page, session = window.page, window.context.new_cdp_session(window.page)
        session.send("Performance.enable")
        link = page.get_by_role("row").locator(f"a[href*='{run_id}']").first
        for _ in range(4):
            link.click()
            page.locator("footer [role=slider]").wait_for()
            assert _shown(page) > 300, "so few would not be noticed if they stayed"
            page.get_by_role("navigation", name="Pages").get_by_role("link", name="Runs").click()
            link.wait_for()
        # The page of one run has several hundred; what fades out is let go a moment later.
        for _ in range(100):
            if (left := _left(page, session)) < 150:
                break
            page.wait_for_timeout(200)
        assert left < 150
        assert window.take_problems() == []
