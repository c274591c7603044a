"""Submits shapes to Celery: one JSON order a line on stdin, one answer a line on stdout."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from celery import chain, chord, group
from tasks import join, note, work


def shape(order: dict[str, Any], run: str) -> Any:
    """The canvas of one run."""
    ledger = order["ledger"]
    lengths = {"trigger": 1, "three": 3, "chain": 50}
    if order["shape"] in lengths:
        names = [f"s{number}" for number in range(1, lengths[order["shape"]] + 1)]
        return chain(*(note.si(ledger, run, name) for name in names))
    many = [work.si(ledger, run, item) for item in range(order["count"])]
    return chain(note.si(ledger, run, "split"), chord(many, join.s(ledger, run)))


def main() -> None:
    """Entry point."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        canvases = [shape(order, run) for run in order["runs"]]
        if order["together"]:
            canvases = [group(canvases)]
        began = time.time_ns()
        for canvas in canvases:
            canvas.apply_async()
        print(json.dumps({"began": began}), flush=True)


if __name__ == "__main__":
    main()
