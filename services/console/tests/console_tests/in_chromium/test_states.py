"""Every page of the router in every state that a server can bring it into: a page says what it is, and never stays empty."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from playwright.sync_api import Browser, Page, expect

from kaon_console.beside import local_settings
from kaon_console.methods import METHODS
from kaon_local.paths import ROOT

from ..serving import FakeService, Served, on_a_thread, serving
from .looking import DESKTOP, MOBILE, looking
from .world import SOMEBODY, STRANGER, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

# Milliseconds; only for what never comes.
PATIENCE = 30_000
_ROUTER = ROOT / "services/console/web/src/app/router.tsx"
# By the router's path: where the page is. A run stands for its tabs, which it loads when it is there.
PAGES = {
    "/": "/",
    "/runs": "/runs",
    "/runs/$runId": "/runs/0190a2b4-0000-7000-8000-000000000000",
    "/launch": "/launch",
    "/launch/$workflow": "/launch/tour",
    "/datasets": "/datasets",
    "/datasets/$name": "/datasets/ratings",
}
# Those that list something: of nothing they say so.
EMPTY = {
    "/": "Nothing waits for you",
    "/runs": "There is no run yet",
    "/launch": "There is no workflow yet",
    "/datasets": "There is no dataset yet",
}


def test_every_page_of_the_router_is_looked_at() -> None:
    routes = re.findall(r'\bpath: "([^"]+)"', _ROUTER.read_text(encoding="utf-8"))
    assert sorted(routes) == sorted(PAGES)


class _Says:
    """What every method of every service does: ends with a code, or never (None)."""

    def __init__(self, code: grpc.StatusCode | None) -> None:
        self._code = code

    async def unary(self, request: bytes, context: Any) -> bytes:
        """See the class."""
        await self._say(context)
        raise AssertionError(request)

    async def streaming(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """See the class."""
        await self._say(context)
        yield request

    async def _say(self, context: Any) -> None:
        if self._code is None:
            await asyncio.Event().wait()
        await context.abort(self._code, "you lack the role viewer")


@contextmanager
def _console(state: Path, code: grpc.StatusCode | None) -> Iterator[Served]:
    says = _Says(code)
    unary = {name: says.unary for name, method in METHODS.items() if not method.streams}
    streaming = {name: says.streaming for name, method in METHODS.items() if method.streams}
    with ExitStack() as stack:
        port, _ = stack.enter_context(on_a_thread(FakeService(unary, streaming)))
        address = f"127.0.0.1:{port}"
        settings = local_settings(address, port=0, state=state, view=address)
        yield stack.enter_context(serving(settings))


def _forbidden(page: Page) -> None:
    expect(page.locator("main [role=alert]").first).to_contain_text(
        "You may not see this", timeout=PATIENCE
    )
    expect(page.get_by_text("you lack the role viewer").first).to_be_visible()
    expect(page.locator("main [aria-busy=true]")).to_have_count(0, timeout=PATIENCE)


def _broken(page: Page) -> None:
    failure = page.locator("main [role=alert]").first
    expect(failure).to_contain_text("Something went wrong", timeout=PATIENCE)
    expect(failure.get_by_role("button", name="Try again")).to_be_visible()


def _loading(page: Page) -> None:
    expect(page.locator("main [aria-busy=true]").first).to_be_visible(timeout=PATIENCE)


def _away(page: Page) -> None:
    expect(page.get_by_text("does not answer").first).to_be_visible(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("state", "code", "shows"),
    [
        ("forbidden", grpc.StatusCode.PERMISSION_DENIED, _forbidden),
        ("broken", grpc.StatusCode.INTERNAL, _broken),
        ("loading", None, _loading),
        ("away", grpc.StatusCode.UNAVAILABLE, _away),
    ],
)
def test_a_page_says_what_the_server_does(
    chromium: Browser, tmp_path: Path, state: str, code: Any, shows: Any
) -> None:
    failed = {}
    with _console(tmp_path, code) as console, looking(chromium, console, DESKTOP) as window:
        window.page.goto(console.link(SOMEBODY))
        for number, (route, path) in enumerate(PAGES.items()):
            window.page.goto(console.origin + path)
            name = f"state-{state}-{route.strip('/').replace('/', '-').replace('$', '')}"
            # Each page is loaded once: every other one for a narrow window first.
            for look in (DESKTOP, MOBILE) if number % 2 == 0 else (MOBILE, DESKTOP):
                window.look(look, settles=False)
                try:
                    shows(window.page)
                except AssertionError as error:
                    failed[f"{route}, {look.name}"] = str(error)[:600]
                window.picture(name)
                if (wider := window.overflow()) > 0:
                    failed[f"{route}, {look.name}, width"] = f"{wider} pixels wider than the window"
    assert failed == {}


def test_a_page_without_anything_says_so(chromium: Browser, world: World) -> None:
    with looking(chromium, world.console, DESKTOP) as window:
        window.log_in(STRANGER)
        for path, text in EMPTY.items():
            window.go(path)
            expect(window.page.get_by_text(text).first).to_be_visible(timeout=PATIENCE)
            window.picture(f"state-empty-{path.strip('/')}")
        assert window.take_problems() == []


def test_a_page_without_its_server_tells_how_old_it_is(chromium: Browser, world: World) -> None:
    pages = PAGES | {"/runs/$runId": f"/runs/{world.tour}"}
    # There is no such dataset in this world.
    del pages["/datasets/$name"]
    with looking(chromium, world.console, DESKTOP) as window:
        window.log_in(SOMEBODY)
        for path in pages.values():
            window.go(path)
            window.context.set_offline(True)
            banner = window.page.get_by_text("What you see is from")
            expect(banner).to_be_visible(timeout=PATIENCE)
            window.context.set_offline(False)
            expect(banner).to_have_count(0, timeout=PATIENCE)
