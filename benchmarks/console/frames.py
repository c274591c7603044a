"""Frames of heatmap and timeline with 100,000 generated cells: while somebody moves, zooms and scrubs."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.console.figure import Figure, percentile, thread_seconds
from kaon_local.paths import ROOT

_WEB = ROOT / "services/console/web"
_MEASURES = (
    ("heatmap", "pan"),
    ("heatmap", "zoom"),
    ("heatmap", "scrub"),
    ("timeline", "pan"),
    ("timeline", "zoom"),
)
# A frame of a screen with 60 Hz: 16.7 ms, of which clocks of browsers tell a little more or less.
_MOST_MS = 17.0


def build(out: Path) -> None:
    """Build the page of the benchmark."""
    command = ["npx", "vite", "build", "--config", "vite.bench.config.ts", "--logLevel", "warn"]
    subprocess.run(command, cwd=_WEB, check=True, env=os.environ | {"KAON_BENCH_OUT": str(out)})


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


@contextmanager
def _page() -> Iterator[tuple[Page, str]]:
    with tempfile.TemporaryDirectory() as out, sync_playwright() as play:
        build(Path(out))
        handler = functools.partial(_Quiet, directory=out)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            yield page, f"http://127.0.0.1:{server.server_port}/bench.html"
        finally:
            browser.close()
            server.shutdown()


def measured() -> list[Figure]:
    """Measure each, beside a page that only asks for its next frame: what others take from the machine is in both."""
    figures = []
    with _page() as (page, address):
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        for what, kind in (("heatmap", "nothing"), *_MEASURES):
            page.goto(f"{address}#{what}")
            page.reload()
            page.wait_for_function("document.querySelector('canvas')?.width > 300")
            before = thread_seconds(session)
            frames: list[float] = page.evaluate("kind => measure(kind)", kind)["frames"]
            used = 1_000 * (thread_seconds(session) - before) / len(frames)
            figures.append(
                Figure(
                    name=f"frame of the {what}, {kind}, p95",
                    value=percentile(frames, 0.95),
                    unit="ms",
                    most=_MOST_MS,
                    note=f"p50 {percentile(frames, 0.5):.1f}, CPU of the thread {used:.1f} a frame",
                )
            )
    return figures
