"""Times the frames of heatmap and timeline with 100,000 generated cells: while somebody moves, zooms and scrubs.

Usage: python benchmarks/console_frames.py   (needs Node, the packages of services/console/web, and chromium)
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

WEB = Path(__file__).parents[1] / "services/console/web"
MEASURES = (
    ("heatmap", "pan"),
    ("heatmap", "zoom"),
    ("heatmap", "scrub"),
    ("timeline", "pan"),
    ("timeline", "zoom"),
)


def build(out: Path) -> None:
    """Build the page of the benchmark."""
    command = ["npx", "vite", "build", "--config", "vite.bench.config.ts", "--logLevel", "warn"]
    subprocess.run(command, cwd=WEB, check=True, env=os.environ | {"KAON_BENCH_OUT": str(out)})


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of all lies below."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def measure(page: Page, base: str, what: str, kind: str) -> str:
    """Return one line: how long frames took."""
    page.goto(f"{base}/bench.html#{what}")
    page.reload()
    page.wait_for_function("document.querySelector('canvas')?.width > 300")
    page.wait_for_timeout(500)
    frames: list[float] = page.evaluate("kind => measure(kind)", kind)["frames"]
    told = " ".join(
        f"p{int(share * 100)} {percentile(frames, share):6.1f} ms" for share in (0.5, 0.95, 0.99)
    )
    return f"{what:9} {kind:6} {told}   {len(frames)} frames"


def main() -> None:
    """Build, serve, measure, print."""
    chromium = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as out, sync_playwright() as play:
        build(Path(out))
        handler = functools.partial(_Quiet, directory=out)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, no GPU")
        for what, kind in MEASURES:
            print(measure(page, f"http://127.0.0.1:{server.server_port}", what, kind), flush=True)
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
