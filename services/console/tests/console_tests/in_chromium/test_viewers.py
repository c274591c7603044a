"""Who may only look is offered no command: on every page of the router, in every part of a run's page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect

from kaon_console.refusals import NEEDS, refused
from kaon_service.principal import Principal
from kaon_service.roles import Role, included

from .looking import DESKTOP, Looking, looking
from .test_states import PAGES
from .world import SOMEBODY, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

# Milliseconds; only for what never comes.
PATIENCE = 30_000
# With the text of the role, or of the roles that an approval asks for.
_WHY = re.compile("Needs the role operator|One of these roles may answer")
# How the names of controls begin that send something, or ask for something to be sent.
_SENDS = re.compile(
    r"^(Approve|Cancel|Continue|Fork|Launch|Pause|Priority|Record|Reject|Rerun|Restart|Resume|Retry|Send"
    r"|Skip|Submit|Break)\b"
)
_CONTROLS = "main button, main a[class*=Button], [role=menuitem]"
_NAMES = """
controls => [...document.querySelectorAll(controls)]
  .filter(one => one.checkVisibility() && !one.disabled && one.ariaDisabled !== "true")
  .map(one => (one.ariaLabel ?? one.innerText).trim())
"""


def _places(world: World) -> dict[str, str]:
    """Return where commands stand: each page of the router, and what a run's page shows on demand."""
    run, wide = f"/runs/{world.waiting}", f"/runs/{world.wide}"
    pages = {path: path for path in PAGES.values()} | {PAGES["/runs/$runId"]: run}
    # There is no such dataset in this world.
    del pages[PAGES["/datasets/$name"]]
    return pages | {
        "steps": f"{wide}?step=list",
        "blocks": f"{wide}?step=items",
        "cells": f"{wide}?cells=items",
        "signals": f"{run}?step=data-ready",
        "approvals": f"/runs/{world.hostile}?step=ask",
        "breakpoints": f"{run}?step=load",
        "the past": f"{wide}?seq=12",
    }


@contextmanager
def _as(browser: Browser, world: World, *, told: dict[str, Any]) -> Iterator[Looking]:
    """Opens a window whose session is told more than that nobody is authenticated, as here."""
    with looking(browser, world.console, DESKTOP) as window:

        def answer(route: Route) -> None:
            found = route.fetch()
            route.fulfill(response=found, body=json.dumps(found.json() | told))

        window.context.route("**/session", answer)
        window.log_in(SOMEBODY)
        yield window


def _offered(window: Looking) -> list[str]:
    """Return the controls of commands that can be used."""
    named = window.page.evaluate(_NAMES, _CONTROLS)
    return [name for name in named if _SENDS.match(name)]


def test_a_viewer_is_told_why_a_command_is_not_for_them(
    chromium: Browser, world: World, axe: Path
) -> None:
    viewer = Principal(roles=included({Role.VIEWER}), authentication="token")
    offered: dict[str, Any] = {}
    seen: set[str] = set()
    sent: list[str] = []
    with _as(chromium, world, told={"refused": refused(viewer), "roles": ["viewer"]}) as window:
        window.page.on("request", lambda request: sent.append(request.url.rpartition("/")[2]))
        expect(window.page.get_by_role("link", name="Launch")).to_have_count(0)
        for name, path in _places(world).items():
            window.go(path)
            offered[name] = _offered(window)
            for dead in window.page.locator("main button[aria-disabled=true]").all():
                assert _WHY.search(dead.get_attribute("aria-description") or ""), name
                dead.focus()
                dead.press("Enter")
                seen.add(dead.inner_text().strip())
            expect(window.page.get_by_role("dialog")).to_have_count(0)
            window.picture(f"viewer-{name.strip('/').replace('/', '-').replace(' ', '-')}")
            offered[f"{name}, barriers"] = window.barriers(axe)
        assert {name: each for name, each in offered.items() if each} == {}
        assert {"Retry", "Pause", "Approve", "Fork from here", "Restart from here"} <= seen
        assert not NEEDS.keys() & set(sent)
        assert window.take_problems() == []


def test_the_chosen_runs_of_a_viewer_are_not_steered(chromium: Browser, world: World) -> None:
    viewer = Principal(roles=included({Role.VIEWER}), authentication="token")
    with _as(chromium, world, told={"refused": refused(viewer)}) as window:
        window.go("/runs")
        window.page.get_by_role("row").get_by_role("checkbox").nth(1).check()
        toolbar = window.page.get_by_role("toolbar", name="Chosen runs")
        expect(toolbar.locator("[aria-disabled=true]")).to_have_count(3, timeout=PATIENCE)
        window.picture("viewer-bulk")
        assert _offered(window) == []


def test_where_commands_stand_who_operates_is_offered_them(chromium: Browser, world: World) -> None:
    """What the tests above look for is there."""
    offered: set[str] = set()
    with _as(chromium, world, told={}) as window:
        for path in _places(world).values():
            window.go(path)
            offered |= {name.split()[0] for name in _offered(window)}
    assert {"Approve", "Fork", "Launch", "Pause", "Record", "Restart", "Retry", "Break"} <= offered


def test_a_console_that_only_shows_leaves_commands_out(chromium: Browser, world: World) -> None:
    offered = {}
    with _as(chromium, world, told={"readOnly": True}) as window:
        for name, path in _places(world).items():
            window.go(path)
            offered[name] = _offered(window)
            expect(window.page.locator("main button[aria-disabled=true]")).to_have_count(0)
    assert {name: each for name, each in offered.items() if each} == {}
