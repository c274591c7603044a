"""Pages in a browser: bytes, first paint, a run of very many cells, memory, and how they come back."""

from __future__ import annotations

import random
import re
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from playwright.sync_api import Page

from benchmarks.console.figure import Figure, thread_seconds
from benchmarks.console.place import FOREACH, Place
from benchmarks.usage import memory
from kaon_console.settings import BUILT_PAGES

PATIENCE_MS = 60_000
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
_LOADED = "performance.getEntriesByType('resource').map(each => new URL(each.name).pathname)"
_MAP = "document.querySelector('canvas[aria-label^=\"Heatmap of {cells} cells\"]')?.width > 300"


def sizes(place: Place) -> list[Figure]:
    """Load the list of runs as a browser without a cache does, and add up what it takes."""
    with fresh(place) as page:
        page.goto(f"{place.origin}/runs")
        page.wait_for_selector("h1", timeout=PATIENCE_MS)
        page.wait_for_function("!document.querySelector('[aria-busy=true]')")
        page.wait_for_timeout(1_000)
        loaded: list[str] = page.evaluate(_LOADED)
    first = sum(_compressed(name) for name in {*loaded, "/index.html"})
    everything = sum(
        _compressed(f"/assets/{each.name}") for each in (BUILT_PAGES / "assets").iterdir()
    )
    return [
        Figure(name="first page, gzip without fonts", value=first / 1_000, unit="kB", most=250),
        Figure(name="all pages, gzip without fonts", value=everything / 1_000, unit="kB", most=700),
    ]


def _compressed(name: str) -> int:
    found = BUILT_PAGES / f"{name.lstrip('/')}.gz"
    return found.stat().st_size if re.search(r"\.(js|css|html)$", name) and found.is_file() else 0


def paints(place: Place, times: int = 5) -> list[Figure]:
    """Open the list of runs without and with a cache."""
    found: dict[str, list[tuple[float, float]]] = {"cold": [], "warm": []}
    for _ in range(times):
        with fresh(place) as page:
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            for into in found.values():
                page.goto(f"{place.origin}/runs")
                page.wait_for_selector("h1", timeout=PATIENCE_MS)
                # Each document counts from its own beginning.
                into.append((page.evaluate(_PAINT) / 1_000, thread_seconds(session)))
    return [
        Figure(
            name=f"first paint, {name} (median of {times})",
            value=statistics.median(paint for paint, _ in found[name]),
            unit="s",
            most=most,
            note=f"best {min(found[name])[0]:.2f}, CPU of the thread until the title stands "
            f"{statistics.median(used for _, used in found[name]):.2f}",
        )
        for name, most in (("cold", 1.0), ("warm", 0.4))
    ]


def many_cells(place: Place, run_id: str, cells: int, seconds: float) -> list[Figure]:
    """Open the heatmap of a run, then scrub over its history for so many seconds."""
    with fresh(place) as page:
        session = page.context.new_cdp_session(page)
        page.goto(f"{place.origin}/runs/{run_id}?cells={FOREACH}")
        page.wait_for_function(_MAP.format(cells=cells), timeout=PATIENCE_MS)
        opened = page.evaluate("performance.now()") / 1_000
        page.reload()
        page.wait_for_function(_MAP.format(cells=cells), timeout=PATIENCE_MS)
        again = page.evaluate("performance.now()") / 1_000
        first = _tab_mb(session)
        drags = _scrub(page, seconds)
        last = _tab_mb(session)
    return [
        Figure(
            name=f"heatmap of {cells} cells, until it is drawn",
            value=again,
            unit="s",
            most=1.5,
            note=f"the first time {opened:.2f}",
        ),
        Figure(
            name="memory of its tab",
            value=last,
            unit="MB",
            most=300,
            note=f"{last - first:+.1f} MB in {seconds:.0f} s of scrubbing, {drags} drags",
        ),
    ]


def _scrub(page: Page, seconds: float) -> int:
    """Drag the scrubber to and fro; return how often. Each drag shows many moments, and ends at one that the server tells."""
    draw, drags, until = random.Random(1), 0, time.monotonic() + seconds
    box = page.locator("footer [role=slider]").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    while time.monotonic() < until:
        page.mouse.move(box["x"] + draw.random() * box["width"], middle)
        page.mouse.down()
        page.mouse.move(box["x"] + draw.random() * box["width"], middle, steps=20)
        page.mouse.up()
        page.wait_for_timeout(500)
        drags += 1
    return drags


def _tab_mb(session: Any) -> float:
    session.send("HeapProfiler.collectGarbage")
    return tab_mb()


def tab_mb() -> float:
    """Return the megabytes of the largest process that renders, as they count for this process alone or shared (PSS)."""
    renderers = [each for each in psutil.Process().children(recursive=True) if _renders(each)]
    return max(each.memory_full_info().pss for each in renderers) / 1e6


def _renders(process: psutil.Process) -> bool:
    try:
        return "--type=renderer" in process.cmdline()
    except psutil.Error:
        return False


def comes_back(place: Place) -> list[Figure]:
    """Kill the view service, and start it again while a page is open."""
    view = place.system.view
    assert view is not None
    banner = (
        "[role=status]:has-text('does not answer'), [role=status]:has-text('What you see is from')"
    )
    with fresh(place) as page:
        page.goto(f"{place.origin}/runs")
        page.wait_for_selector("h1", timeout=PATIENCE_MS)
        page.wait_for_timeout(1_000)
        view.kill()
        page.wait_for_selector(banner, timeout=PATIENCE_MS)
        view.restart()
        began = time.monotonic()
        page.wait_for_selector(banner, state="detached", timeout=PATIENCE_MS)
        took = time.monotonic() - began
    return [
        Figure(
            name="view service killed: from its return to the page's",
            value=took,
            unit="s",
            most=2.0,
        )
    ]


def server_memory(place: Place) -> list[Figure]:
    """Tell what the console's server holds after all that was done."""
    used = memory(place.parts())
    return [
        Figure(
            name="memory of the console's server (PSS)",
            value=used["console"],
            unit="MB",
            most=150,
            note=f"view service {used['view']:.0f}",
        )
    ]


@contextmanager
def fresh(place: Place) -> Iterator[Page]:
    """Open a page of a browser that has a session and nothing else."""
    browser = place.browser.browser
    assert browser is not None
    context = browser.new_context(
        storage_state=place.browser.storage_state(), viewport={"width": 1280, "height": 800}
    )
    try:
        yield context.new_page()
    finally:
        context.close()
