"""Pages as people look at them who need more than the usual: at twice the size, and in the colours of their system."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from .looking import DESKTOP, Look, looking
from .world import SOMEBODY, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

# Milliseconds; only for what never comes.
PATIENCE = 30_000
# A window of 1,440 by 900 pixels, of which the browser shows each twice as large.
ZOOMED = Look(name="zoomed", width=720, height=450)


def test_at_twice_the_size_a_run_is_drawn_and_nothing_is_cut_off(
    chromium: Browser, world: World
) -> None:
    with looking(chromium, world.console, ZOOMED) as window:
        window.log_in(SOMEBODY)
        page = window.page
        for search, drawing in (
            ("", page.get_by_role("group", name="The workflow.")),
            ("?cells=items", page.locator("canvas").first),
            ("?tab=timeline", page.locator("canvas").first),
        ):
            window.go(f"/runs/{world.wide}{search}")
            expect(drawing).to_be_visible(timeout=PATIENCE)
            drawing.scroll_into_view_if_needed()
            window.picture(f"zoomed{search.replace('?', '-').replace('=', '-')}")
            box = drawing.bounding_box()
            assert box is not None
            assert 150 < box["height"] < 2 * ZOOMED.height, search
            assert window.overflow() <= 0, search
        for path in ("/", "/runs", "/launch/tour", "/datasets"):
            window.go(path)
            assert window.overflow() <= 0, path


def test_the_colours_of_the_system_leave_bars_and_what_is_chosen(
    chromium: Browser, world: World
) -> None:
    with looking(chromium, world.console, DESKTOP) as window:
        window.page.emulate_media(forced_colors="active")
        window.log_in(SOMEBODY)
        page = window.page
        window.go(f"/runs/{world.wide}?step=list")
        window.picture("forced-run")
        bar = page.get_by_role("img", name=re.compile("succeeded")).first
        assert "gradient" in bar.evaluate("bar => getComputedStyle(bar).backgroundImage")
        for chosen in (
            page.get_by_role("tab", name="Graph"),
            page.get_by_role("navigation", name="Pages").get_by_role("link", name="Runs"),
            page.locator(".react-flow__node[data-id=list] [data-selected]"),
        ):
            assert chosen.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
        tab = page.get_by_role("tab", name="Events")
        assert tab.evaluate("one => getComputedStyle(one).outlineStyle") == "none"


def test_who_wants_no_motion_gets_none(chromium: Browser, world: World) -> None:
    with looking(chromium, world.console, DESKTOP) as window:
        window.log_in(SOMEBODY)
        for path in ("/", "/runs", f"/runs/{world.hostile}?step=ask"):
            window.go(path)
            longest = window.page.evaluate(
                "Math.max(0, ...document.getAnimations().map(one => one.effect.getComputedTiming().endTime))"
            )
            assert longest < 10, f"{path}: something moves for {longest} ms"
