"""`python -m benchmarks.console`: prints each figure of the console with its goal."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.console import frames, latency, lists, logs, pages, pixels, soak, viewers
from benchmarks.console.figure import Figure
from benchmarks.console.place import Place, open_place
from kaon_local.paths import ROOT

Part = Callable[[], Sequence[Figure]]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        help="some of frames, lists, sizes, paints, watchers, pixels, cells, logs, "
        "viewers, reconnect, memory, soak; default: all",
    )
    parser.add_argument("--runs", type=int, default=1_000_000, help="runs of the list")
    parser.add_argument("--cells", type=int, default=100_000, help="cells of the large run")
    parser.add_argument(
        "--live", type=int, default=15_000, help="cells of each run that is followed"
    )
    parser.add_argument("--lines", type=int, default=1_000_000, help="lines of the log")
    parser.add_argument(
        "--open", type=float, default=60, help="seconds for which a tab is left open"
    )
    parser.add_argument(
        "--soak", type=float, default=300, help="seconds for which a live run is followed"
    )
    parser.add_argument(
        "--state", type=Path, default=ROOT / ".kaon" / "bench-console", help="emptied, and used"
    )
    return parser.parse_args()


def _large(place: Place, options: argparse.Namespace) -> list[Figure]:
    run_id = place.submit(
        "bench-cells", file=str(place.system.config.state / "large.items"), count=options.cells
    )
    place.until_ended(run_id)
    return pages.many_cells(place, run_id, options.cells, options.open)


def _in_system(place: Place, options: argparse.Namespace) -> Iterator[tuple[str, Part]]:
    yield "sizes", partial(pages.sizes, place)
    yield "paints", partial(pages.paints, place)
    yield "watchers", partial(latency.to_watchers, place, options.live)
    yield "pixels", partial(pixels.to_pixels, place, options.live)
    yield "viewers", partial(viewers.measured, place, options.live // 3)
    yield "reconnect", partial(pages.comes_back, place)
    yield "logs", partial(logs.measured, place, options.lines)
    yield "soak", partial(soak.measured, place, options.soak)
    yield "cells", partial(_large, place, options)
    yield "memory", partial(pages.server_memory, place)


def _show(name: str, part: Part) -> None:
    began = time.monotonic()
    for figure in part():
        print(figure.line, flush=True)
    load = os.getloadavg()[0]
    print(f"  ({name}: {time.monotonic() - began:.0f} s, load average {load:.1f})", flush=True)


def main() -> None:
    """Measure what was asked for."""
    options = _options()
    wanted = set(options.parts)
    alone: dict[str, Part] = {
        "frames": frames.measured,
        "lists": partial(lists.measured, options.runs),
    }
    for name, part in alone.items():
        if not wanted or name in wanted:
            _show(name, part)
    if wanted and not wanted - alone.keys():
        return
    with open_place(options.state.resolve()) as place:
        for name, part in _in_system(place, options):
            if not wanted or name in wanted:
                _show(name, part)


if __name__ == "__main__":
    main()
