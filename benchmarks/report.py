"""Results for people."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

_NOT_MEASURED = frozenset({"side", "round", "workload", "time"})


def line(result: dict[str, Any]) -> str:
    """One result in one line."""
    values = " ".join(
        f"{name}={value:.4g}" for name, value in result.items() if name not in _NOT_MEASURED
    )
    return f"{result['side']:<17} {result['workload']:<16} {values}"


def table(results: Sequence[dict[str, Any]]) -> str:
    """Medians of all results, a row for each figure and a column for each side; beside the peer also how many times its figure."""
    values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    sides = list(dict.fromkeys(result["side"] for result in results))
    for result in results:
        for name, value in result.items():
            if name not in _NOT_MEASURED:
                values[result["workload"], name][result["side"]].append(value)
    rows = [["workload", "figure", *sides, *(f"{side} : celery" for side in _compared(sides))]]
    for (workload, name), by_side in values.items():
        medians = {side: statistics.median(found) for side, found in by_side.items()}
        cells = [
            f"{medians[side]:.1f} ({len(by_side[side])})" if side in medians else ""
            for side in sides
        ]
        ratios = [
            f"{medians[side] / medians['celery']:.2f}"
            if side in medians and medians.get("celery")
            else ""
            for side in _compared(sides)
        ]
        rows.append([workload, name, *cells, *ratios])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )


def _compared(sides: Sequence[str]) -> list[str]:
    return [side for side in sides if side != "celery"] if "celery" in sides else []
