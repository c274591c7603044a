"""From the commit of an event to the pixel that shows it: where the time goes, and what the page costs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from benchmarks.console.figure import Figure, percentile, thread_seconds
from benchmarks.console.latency import Times, commit_times, commits, of_bursts, rate_of
from benchmarks.console.pages import PATIENCE_MS, fresh
from benchmarks.console.place import Place
from benchmarks.usage import Usage, cpu

_STAMPS = Path(__file__).with_name("stamps.js")
_MOST_MS = 150.0
_MOST_CPU_MS = 10.0
# What an event waits for until each stamp, from the one before; the first wait begins with the commit.
_STAGES = {
    "made": "view service",
    "heard": "way to the tab",
    "shown": "rendering",
    "painted": "painting",
}


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """One run that a page has shown.

    Attributes:
        bursts: when the events of bursts were committed.
        times: when all others were.
        stamps: by stage: (event, time in microseconds) of what was told, or shown, up to an event.
        cells: how many cells ended meanwhile.
        page: seconds of CPU of the page's main thread.
        used: seconds of CPU of each part, and of the browser.
    """

    bursts: Times
    times: Times
    stamps: Mapping[str, Times]
    cells: int
    page: float
    used: Mapping[str, float]

    def waits_ms(self, times: Times) -> list[tuple[float, ...]]:
        """Return how long each event took for each stage; those that the first response told are left out."""
        found = []
        for seq, begin in times:
            at = [bisect_left(each, seq, key=_event) for each in self._stages]
            if at[0] > 0 and all(map(_is_within, at, self._stages)):
                ends = [each[number][1] for number, each in zip(at, self._stages, strict=True)]
                found.append(
                    tuple((end - start) / 1_000 for start, end in pairwise([begin, *ends]))
                )
        return found

    @property
    def _stages(self) -> list[Times]:
        return [self.stamps[stage] for stage in _STAGES]


def _event(stamp: tuple[int, int]) -> int:
    return stamp[0]


def _is_within(number: int, stamps: Times) -> bool:
    return number < len(stamps)


def to_pixels(place: Place, cells: int) -> list[Figure]:
    """Follow a run of many quick cells in a browser, by the event that its page shows."""
    alone = _alone(place, cells)
    seen = _seen(place, cells)
    waits = seen.waits_ms(seen.times)
    whole = [sum(each) for each in waits]
    frames = len(seen.stamps["painted"])
    parts = (f"{part} {1e6 * used / seen.cells:.0f}" for part, used in seen.used.items())
    return [
        Figure(
            name="commit to pixel, p95",
            value=percentile(whole, 0.95),
            unit="ms",
            most=_MOST_MS,
            note=f"p50 {percentile(whole, 0.5):.0f}, {rate_of(seen.times, cells):.0f} cells/s "
            f"({alone:.0f} with the page closed), {frames} frames with news; "
            f"{of_bursts([sum(each) for each in seen.waits_ms(seen.bursts)])}; "
            + ", ".join(
                f"{name} {percentile(each, 0.5):.0f} and {percentile(each, 0.95):.0f}"
                for name, each in zip(_STAGES.values(), zip(*waits, strict=True), strict=True)
            ),
        ),
        Figure(
            name="CPU of the page for a frame with news",
            value=1_000 * seen.page / frames,
            unit="ms",
            most=_MOST_CPU_MS,
            note=f"us a cell: {', '.join(parts)}",
        ),
    ]


def _alone(place: Place, cells: int) -> float:
    """Return how many cells a second pass while nobody looks."""
    run_id = _submit(place, cells)
    with commits(place, run_id) as committed:
        committed.until_ended()
    return rate_of(commit_times(committed.times)[1], cells)


def _submit(place: Place, cells: int) -> str:
    return place.submit(
        "bench-cells", file=str(place.system.config.state / "seen.items"), count=cells
    )


def _seen(place: Place, cells: int) -> _Seen:
    run_id = _submit(place, cells)
    with commits(place, run_id) as committed, fresh(place) as page:
        page.add_init_script(path=_STAMPS)
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(f"{place.origin}/runs/{run_id}")
        page.wait_for_selector("footer [role=slider]", timeout=PATIENCE_MS)
        page.evaluate("followScrubber()")
        done = place.row(run_id).steps_succeeded
        used, before = thread_seconds(session), _cpu(place)
        committed.until_ended()
        used, parts = thread_seconds(session) - used, _cpu(place).since(before)
        page.wait_for_timeout(1_000)
        stamps: dict[str, Times] = page.evaluate("stamps")
    bursts, times = commit_times(committed.times)
    return _Seen(
        bursts=bursts, times=times, stamps=stamps, cells=cells - done, page=used, used=parts
    )


def _cpu(place: Place) -> Usage:
    return cpu({**place.parts(), "browser": _browsers()})


def _browsers() -> list[int]:
    """Return the first processes of browsers that this one has started."""
    children = psutil.Process().children(recursive=True)
    return [
        each.pid
        for each in children
        if each.name() == "chromium" and not any("--type=" in part for part in each.cmdline())
    ]
