"""A page as a test looks at it: whatever goes wrong in it is noted, and pictures are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
)

from kaon_local.paths import ROOT
from kaon_service.principal import Principal

from ..serving import Served

PICTURES = ROOT / ".kaon" / "screenshots"
# A navigation gives up what it has not got yet.
_GIVEN_UP = "net::ERR_ABORTED"
# What says that a part of the page is still to come.
_WAITS = "main [role=status][aria-live=polite], [aria-busy=true]"
# Milliseconds; only for what never comes.
_PATIENCE = 30_000
# In the first one the page hears of its new size and scheme; what it makes of that is there in the second.
_TWO_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
_AXE = "([axe, more]) => axe.run(document, {resultTypes: ['violations'], ...more})"
_ONLY_COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a browser looks at the pages."""

    name: str
    scheme: str = "light"
    width: int = 1280
    height: int = 800


DESKTOP = Look(name="light")
DARK = Look(name="dark", scheme="dark")
MOBILE = Look(name="mobile", width=390, height=844)


class Looking:
    """One browser window at one console.

    Args:
        context: of the browser, without a session.
        console: what is looked at.
        look: how.
    """

    def __init__(self, context: BrowserContext, console: Served, look: Look) -> None:
        self.context = context
        self.console = console
        self._look = look
        # What went wrong since it was last asked for.
        self.problems: list[str] = []
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self.problems.append(f"error: {error.error}"))
        context.on("request", self._on_request)
        context.on("requestfailed", self._on_failure)
        context.on("response", self._on_response)
        context.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))
        self.page: Page = context.new_page()

    def log_in(self, principal: Principal, path: str = "/") -> None:
        """Follows a link."""
        self.page.goto(self.console.link(principal, path))
        self.settle()

    def go(self, path: str) -> None:
        """Goes to a page, and returns when that shows something."""
        self.page.goto(self.console.origin + path)
        self.settle()

    def look(self, look: Look, *, settles: bool = True) -> None:
        """Looks in another way from now on, and returns when the page has followed. Not every page settles: one waits for ever."""
        if look == self._look:
            return
        self._look = look
        self.page.set_viewport_size({"width": look.width, "height": look.height})
        self.page.emulate_media(color_scheme=look.scheme)  # type: ignore[arg-type]
        self.page.evaluate(_TWO_FRAMES)
        if settles:
            self.settle()

    def settle(self) -> None:
        """Returns when the page has its title, or says why not, and waits for nothing."""
        expect(self.page.locator("h1, main [role=alert]").first).to_be_visible(timeout=_PATIENCE)
        expect(self.page.locator(_WAITS)).to_have_count(0, timeout=_PATIENCE)

    def picture(self, name: str) -> None:
        """Keeps a picture of what is shown."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}-{self._look.name}.png", animations="disabled")

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        wider: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wider

    def barriers(self, axe: Path, *, only_colours: bool = False) -> list[str]:
        """What keeps people out, by the rules of axe-core: serious and critical ones."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(axe.read_text(encoding="utf-8") + "; 0")
        more = json.dumps(_ONLY_COLOURS if only_colours else {})
        found = self.page.evaluate(f"({_AXE})([window.axe, {more}])")["violations"]
        return [
            f"{each['id']}: {each['help']}: {_where(each)}"
            for each in found
            if each["impact"] in {"serious", "critical"}
        ]

    def headings(self) -> int:
        """How many titles the page has."""
        return self.page.locator("h1").count()

    def take_problems(self) -> list[str]:
        """What went wrong since the last call."""
        found, self.problems = self.problems, []
        return found

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not re.search(
            r"status of 4\d\d|net::ERR", message.text
        ):
            self.problems.append(f"console: {message.text[:500]}")

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if (
            parts.scheme not in {"data", "blob"}
            and f"{parts.scheme}://{parts.netloc}" != self.console.origin
        ):
            self.problems.append(f"asks elsewhere: {request.url}")

    def _on_failure(self, request: Request) -> None:
        if request.failure != _GIVEN_UP:
            self.problems.append(f"failed: {request.url}: {request.failure}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"status {response.status}: {response.url}")


@contextmanager
def looking(browser: Browser, console: Served, look: Look) -> Iterator[Looking]:
    """Opens a window without a session, of a browser that runs."""
    context = browser.new_context(
        viewport={"width": look.width, "height": look.height},
        color_scheme=look.scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
        timezone_id="Europe/Berlin",
        locale="en-GB",
    )
    try:
        yield Looking(context, console, look)
    finally:
        context.close()


def _where(violation: Any) -> str:
    return json.dumps([node["target"] for node in violation["nodes"]][:3])
