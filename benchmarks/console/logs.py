"""A log of a million lines: its end, and a search on the server."""

from __future__ import annotations

import time

from benchmarks.console.figure import Figure
from benchmarks.console.place import METADATA, Place
from benchmarks.usage import cpu
from kaonapi.view.v1 import logs_pb2

_STEP = "talk"


def measured(place: Place, lines: int) -> list[Figure]:
    """Run a step that prints as many lines, then ask for the last page and for all that match."""
    run_id = place.submit("bench-log", lines=lines)
    place.until_ended(run_id)
    log = logs_pb2.LogFilter(run_id=run_id, path=_STEP, attempt=1)
    found = logs_pb2.LogFilter(run_id=run_id, path=_STEP, attempt=1, text="a needle")
    tail = logs_pb2.QueryLogsRequest(filter=log, backwards=True, page_size=500)
    count = logs_pb2.CountLogsRequest(filter=found, buckets=200)
    # The second try: what the first one finds on the disk stays in memory.
    for _ in range(2):
        before, began = cpu(place.parts()), time.perf_counter()
        page = place.view.QueryLogs(tail, metadata=METADATA)
        tail_seconds = time.perf_counter() - began
        tail_cpu, began = cpu(place.parts()), time.perf_counter()
        told = place.view.CountLogs(count, metadata=METADATA)
        count_seconds = time.perf_counter() - began
        count_cpu = cpu(place.parts()).since(tail_cpu)["view"]
    assert page.entries[-1].text.startswith(f"line {lines - 1}:"), page.entries[-1]
    note = f"CPU {tail_cpu.since(before)['view']:.2f} s"
    found_note = f"CPU {count_cpu:.2f} s; {told.matches} of {told.lines} lines"
    return [
        Figure(
            name=f"log of {lines} lines, its end", value=tail_seconds, unit="s", most=1.0, note=note
        ),
        Figure(
            name=f"log of {lines} lines, search",
            value=count_seconds if not told.unfinished else float("inf"),
            unit="s",
            most=2.0,
            note=found_note + (", and not all was read" if told.unfinished else ""),
        ),
    ]
