"""A tab that follows a live run for minutes: what it holds after each collection, and what has become more of."""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from playwright.sync_api import Page

from benchmarks.console.figure import Figure
from benchmarks.console.pages import PATIENCE_MS, fresh
from benchmarks.console.place import Place

# Between two samples, in seconds.
_PAUSE = 10.0
# Cells of each run that is followed, and how long one takes: so many events come all the time.
_CELLS = 4_000
_CELL_SECONDS = 0.02
# An hour may add so much: the tab stays below its 300 MB whatever it showed.
_MOST_MB_PER_HOUR = 30.0
# The beginning is left out: parts of the page are loaded, and code is compiled.
_WARM_SHARE = 0.25
_GROWN = 8


def measured(place: Place, seconds: float) -> list[Figure]:
    """Follow runs one after the other in one tab, and fit a line through what its heap holds after collections."""
    with fresh(place) as page:
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        samples: list[tuple[float, float, float]] = []
        first: Counter[str] = Counter()
        began, run_id = time.monotonic(), ""
        while (now := time.monotonic() - began) < seconds:
            run_id = _shown(place, page, run_id)
            page.wait_for_timeout(1_000 * _PAUSE)
            samples.append((now, *_held(session)))
            if not first and now >= _WARM_SHARE * seconds:
                first = _objects(session)
        grown = _objects(session) - first
    return _figures(samples, seconds, grown)


def _shown(place: Place, page: Page, run_id: str) -> str:
    """Return the run that the page shows: another one once the last one has ended, by the page's own links."""
    if run_id and not place.client.run(run_id).run.HasField("end_time"):
        return run_id
    file = str(place.system.config.state / "soak.items")
    new = place.submit("bench-cells", file=file, count=_CELLS, seconds=_CELL_SECONDS)
    if run_id:
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Runs").click()
        page.locator(f"a[href*='{new}']").first.click(timeout=PATIENCE_MS)
    else:
        page.goto(f"{place.origin}/runs/{new}")
    # What a selector returns would keep its page.
    page.locator("footer [role=slider]").wait_for(timeout=PATIENCE_MS)
    return new


def _held(session: Any) -> tuple[float, float]:
    """Return megabytes of the heap and nodes of the document, after a collection."""
    session.send("HeapProfiler.collectGarbage")
    values = {
        each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]
    }
    return values["JSHeapUsedSize"] / 1e6, values["Nodes"]


def _objects(session: Any) -> Counter[str]:
    """Count what a snapshot of the heap holds, by constructor."""
    parts: list[str] = []

    def take(told: Any) -> None:
        parts.append(told["chunk"])

    session.on("HeapProfiler.addHeapSnapshotChunk", take)
    session.send("HeapProfiler.takeHeapSnapshot", {"reportProgress": False})
    session.remove_listener("HeapProfiler.addHeapSnapshotChunk", take)
    heap = json.loads("".join(parts))
    fields, strings, nodes = heap["snapshot"]["meta"]["node_fields"], heap["strings"], heap["nodes"]
    kinds = heap["snapshot"]["meta"]["node_types"][0]
    width, kind, name = len(fields), fields.index("type"), fields.index("name")
    wanted = {kinds.index("object"), kinds.index("closure"), kinds.index("native")}
    return Counter(
        strings[nodes[at + name]][:60]
        for at in range(0, len(nodes), width)
        if nodes[at + kind] in wanted
    )


def _figures(
    samples: Sequence[tuple[float, float, float]], seconds: float, grown: Counter[str]
) -> list[Figure]:
    late = [each for each in samples if each[0] >= _WARM_SHARE * seconds]
    times, heaps, nodes = zip(*late, strict=True)
    slope = statistics.linear_regression(times, heaps).slope
    more = ", ".join(f"{name} {count:+}" for name, count in grown.most_common(_GROWN))
    return [
        Figure(
            name=f"heap of a tab over {seconds:.0f} s of live runs",
            value=3_600 * slope,
            unit="MB/h",
            most=_MOST_MB_PER_HOUR,
            note=f"{heaps[0]:.1f} -> {heaps[-1]:.1f} MB, {nodes[0]:.0f} -> {nodes[-1]:.0f} nodes "
            f"in {len(late)} collections; more of: {more}",
        )
    ]
