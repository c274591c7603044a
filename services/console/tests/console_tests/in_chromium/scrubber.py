"""The scrubber of a run's page, as somebody drags it."""

from __future__ import annotations

from collections.abc import Mapping

from playwright.sync_api import Page, expect

from kaonapi.run.v1 import run_pb2

# Milliseconds; only for what never comes.
_PATIENCE = 30_000
_WORDS = {
    run_pb2.STATUS_UNSPECIFIED: "Not started",
    run_pb2.STATUS_PENDING: "Not started",
    run_pb2.STATUS_READY: "Waits for a runner",
    run_pb2.STATUS_RUNNING: "Running",
    run_pb2.STATUS_SUCCEEDED: "Succeeded",
    run_pb2.STATUS_FAILED: "Failed",
}


def shown_status(status: int) -> str:
    """The word by which a node says its status."""
    return _WORDS[status]


class Scrubber:
    """The slider, and the drawing above it.

    Args:
        page: of a run.
        last: its newest event.
    """

    def __init__(self, page: Page, last: int) -> None:
        self._page = page
        self._last = last
        self._track = page.locator("footer [role=slider]")
        expect(self._track).to_have_attribute("aria-valuemax", str(last), timeout=_PATIENCE)
        # Wide enough for each event to have pixels of its own, and drawn: then attempts are known.
        expect(page.locator(".react-flow__node").first).to_be_visible(timeout=_PATIENCE)
        expect(self._track.locator("svg path")).to_have_count(1, timeout=_PATIENCE)

    def drag(self, seq: int) -> None:
        """Holds the thumb at an event."""
        box = self._track.bounding_box()
        assert box is not None
        mouse = self._page.mouse
        at = box["x"] + box["width"] * (seq - 1) / (self._last - 1)
        mouse.move(at, box["y"] + box["height"] / 2)
        mouse.down()
        expect(self._track).to_have_attribute("aria-valuenow", str(seq), timeout=_PATIENCE)

    def let_go(self) -> None:
        """Lets the server tell the state at the event."""
        self._page.mouse.up()
        expect(self._page.locator("footer code")).to_be_visible(timeout=_PATIENCE)

    def digest(self) -> str:
        """The beginning of the state's digest, as the page shows it."""
        return self._page.locator("footer code").inner_text()

    def shows(self, wanted: Mapping[str, str], when: str) -> None:
        """Checks the status of each node."""
        for name, word in wanted.items():
            node = self._page.locator(f'.react-flow__node[data-id="{name}"] svg[role=img] title')
            expect(node.first, f"{name} {when}").to_have_text(word, timeout=_PATIENCE)
