"""A tab whose memory is measured.

Playwright does not know it: of each tab that it knows it has the browser keep the answers, up to hundreds of megabytes of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import CDPSession

from benchmarks.console.place import Place

_PAUSE = 0.05
# A snapshot of the heap takes minutes where others use the machine.
_PATIENCE = 300.0


class Tab:
    """A tab, by the browser's own protocol.

    Args:
        browser: a session with the browser.
        session_id: the session with the tab that was made by it.
    """

    def __init__(self, browser: CDPSession, session_id: str) -> None:
        self._browser = browser
        self._session_id = session_id
        self._number = 0
        self._told: dict[int, Any] = {}
        # By name of an event: who takes its parameters.
        self._takers: dict[str, Any] = {}
        browser.on("Target.receivedMessageFromTarget", self._hear)

    def send(self, method: str, **params: object) -> Mapping[str, Any]:
        """Call a method, and return its result.

        Raises:
            RuntimeError: The tab refuses it.
            TimeoutError: The tab does not answer.
        """
        self._number = number = self._number + 1
        message = json.dumps({"id": number, "method": method, "params": params})
        self._browser.send(
            "Target.sendMessageToTarget", {"sessionId": self._session_id, "message": message}
        )
        until = time.monotonic() + _PATIENCE
        while number not in self._told:
            if time.monotonic() > until:
                raise TimeoutError(f"{method}: no answer within {_PATIENCE:.0f} s")
            # What the browser tells is heard during calls.
            self._browser.send("Browser.getVersion")
            time.sleep(_PAUSE)
        told = self._told.pop(number)
        if "error" in told:
            raise RuntimeError(f"{method}: {told['error']}")
        result: Mapping[str, Any] = told["result"]
        return result

    def listen(self, event: str, take: Any) -> None:
        """Have somebody take the parameters of an event."""
        self._takers[event] = take

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page; None when it has none, or fails."""
        told = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        return told["result"].get("value")

    def until(self, expression: str) -> None:
        """Return when an expression in the page is true.

        Raises:
            TimeoutError: It does not become so.
        """
        until = time.monotonic() + _PATIENCE
        while not self.evaluate(f"Boolean({expression})"):
            if time.monotonic() > until:
                raise TimeoutError(f"within {_PATIENCE:.0f} s not true in the page: {expression}")

    def _hear(self, heard: Mapping[str, Any]) -> None:
        if heard["sessionId"] != self._session_id:
            return
        told = json.loads(heard["message"])
        if "id" in told:
            self._told[told["id"]] = told
        elif told["method"] in self._takers:
            self._takers[told["method"]](told["params"])


@contextmanager
def open_tab(place: Place, path: str) -> Iterator[Tab]:
    """Open a tab of a browser that is signed in, and has nothing else."""
    playwright = place.browser.browser
    assert playwright is not None
    browser = playwright.new_browser_cdp_session()
    context = browser.send("Target.createBrowserContext")["browserContextId"]
    try:
        cookies = [
            {name: value for name, value in cookie.items() if name != "expires"}
            for cookie in place.browser.cookies()
        ]
        browser.send("Storage.setCookies", {"cookies": cookies, "browserContextId": context})
        made = browser.send(
            "Target.createTarget",
            {
                "url": f"{place.origin}{path}",
                "browserContextId": context,
                "width": 1280,
                "height": 800,
            },
        )
        session = browser.send("Target.attachToTarget", {"targetId": made["targetId"]})
        yield Tab(browser, session["sessionId"])
    finally:
        browser.send("Target.disposeBrowserContext", {"browserContextId": context})
        browser.detach()
