"""A tab that follows live runs for minutes or an hour: what it holds after each collection, and what has become more of."""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.console.figure import Figure
from benchmarks.console.pages import tab_mb
from benchmarks.console.place import Place
from benchmarks.console.tab import Tab, open_tab

# Between two samples, in seconds.
_PAUSE = 10.0
# Cells of each run that is followed, and how long one takes: so many events come all the time.
_CELLS = 4_000
_CELL_SECONDS = 0.02
# An hour may add so much: the tab stays below its 300 MB whatever it showed.
_MOST_MB_PER_HOUR = 30.0
_MOST_MB = 300.0
# The beginning is left out: parts of the page are loaded, code is compiled, and what was answered is kept for five minutes.
_WARM_SHARE = 0.25
_GROWN = 8
_SHOWN = "document.querySelector('footer [role=slider]')"
# Between two lines that tell how it stands, in samples.
_TOLD = 30


@dataclass(frozen=True, kw_only=True)
class _Held:
    """What the tab holds after a collection.

    Attributes:
        at: seconds since the beginning.
        heap: megabytes of live objects, with the data of typed arrays and what belongs to nodes.
        tab: megabytes of its process, in which the shared worker is, too.
    """

    at: float
    heap: float
    tab: float
    nodes: float
    listeners: float

    @property
    def line(self) -> str:
        """Say so."""
        return (
            f"  {self.at:.0f} s: heap {self.heap:.1f} MB, tab {self.tab:.0f} MB, "
            f"{self.nodes:.0f} nodes, {self.listeners:.0f} listeners"
        )


def measured(place: Place, seconds: float) -> list[Figure]:
    """Follow runs one after the other in one tab, and fit a line through what its heap holds after collections."""
    run_id = _submit(place)
    with open_tab(place, f"/runs/{run_id}") as tab:
        tab.send("Performance.enable")
        tab.until(_SHOWN)
        samples: list[_Held] = []
        first: Counter[str] = Counter()
        began = time.monotonic()
        while (now := time.monotonic() - began) < seconds or len(_late(samples, seconds)) < 2:
            run_id = _shown(place, tab, run_id)
            time.sleep(_PAUSE)
            samples.append(_held(tab, now))
            if len(samples) % _TOLD == 1:
                print(samples[-1].line, flush=True)
            if not first and now >= _WARM_SHARE * seconds:
                first = _objects(tab)
        grown = _objects(tab) - first
    return _figures(_late(samples, seconds), seconds, grown)


def _late(samples: Sequence[_Held], seconds: float) -> list[_Held]:
    return [each for each in samples if each.at >= _WARM_SHARE * seconds]


def _shown(place: Place, tab: Tab, run_id: str) -> str:
    """Return the run that the page shows: another one once the last one has ended, by the page's own links."""
    if not place.row(run_id).end_us:
        return run_id
    new = _submit(place)
    for link in ("nav[aria-label='Pages'] a[href='/runs']", f"a[href*='{new}']"):
        tab.until(f'document.querySelector("{link}")')
        tab.evaluate(f'document.querySelector("{link}").click()')
    tab.until(f"location.pathname.endsWith('{new}') && {_SHOWN}")
    return new


def _submit(place: Place) -> str:
    file = str(place.system.config.state / "soak.items")
    return place.submit("bench-cells", file=file, count=_CELLS, seconds=_CELL_SECONDS)


def _held(tab: Tab, at: float) -> _Held:
    """Measure after collections: what the first one finalizes, the second one frees."""
    for _ in range(2):
        tab.send("HeapProfiler.collectGarbage")
    told = tab.send("Runtime.getHeapUsage")
    parts = ("usedSize", "embedderHeapUsedSize", "backingStorageSize")
    values = {each["name"]: each["value"] for each in tab.send("Performance.getMetrics")["metrics"]}
    return _Held(
        at=at,
        heap=sum(told[part] for part in parts) / 1e6,
        tab=tab_mb(),
        nodes=values["Nodes"],
        listeners=values["JSEventListeners"],
    )


def _objects(tab: Tab) -> Counter[str]:
    """Count what a snapshot of the heap holds, by constructor."""
    parts: list[str] = []

    def take(told: Any) -> None:
        parts.append(told["chunk"])

    tab.listen("HeapProfiler.addHeapSnapshotChunk", take)
    tab.send("HeapProfiler.takeHeapSnapshot", reportProgress=False)
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


def _figures(samples: Sequence[_Held], seconds: float, grown: Counter[str]) -> list[Figure]:
    first, last = samples[0], samples[-1]
    times = [each.at for each in samples]
    slope = statistics.linear_regression(times, [each.heap for each in samples]).slope
    tab = statistics.linear_regression(times, [each.tab for each in samples]).slope
    more = ", ".join(f"{name} {count:+}" for name, count in grown.most_common(_GROWN))
    return [
        Figure(
            name=f"heap of a tab over {seconds:.0f} s of live runs",
            value=3_600 * slope,
            unit="MB/h",
            most=_MOST_MB_PER_HOUR,
            note=f"{first.heap:.1f} -> {last.heap:.1f} MB, {first.nodes:.0f} -> {last.nodes:.0f} "
            f"nodes, {first.listeners:.0f} -> {last.listeners:.0f} listeners "
            f"in {len(samples)} collections; more of: {more}",
        ),
        Figure(
            name="memory of that tab",
            value=max(each.tab for each in samples),
            unit="MB",
            most=_MOST_MB,
            note=f"the most of {len(samples)} samples; {first.tab:.0f} -> {last.tab:.0f} MB, "
            f"{3_600 * tab:+.0f} MB/h",
        ),
    ]
