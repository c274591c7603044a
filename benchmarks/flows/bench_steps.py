"""What the measured steps do: each execution appends one line with its start and end to a ledger, and nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

# Open ledgers of this process, by path.
_ledgers: dict[str, int] = {}


def note(ledger: str, run: str, step: str) -> None:
    """One execution: `<run> <step> <start> <end>`, times in nanoseconds since the epoch, written at once."""
    start = time.time_ns()
    if ledger not in _ledgers:
        _ledgers[ledger] = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(_ledgers[ledger], f"{run} {step} {start} {time.time_ns()}\n".encode())


def split(ledger: str, run: str, count: int) -> dict[str, list[int]]:
    """Says how many steps follow."""
    note(ledger, run, "split")
    return {"items": list(range(count))}


def split_to_file(ledger: str, run: str, count: int) -> dict[str, dict[str, str]]:
    """Says the same in an artifact of JSON lines: more items than a value holds."""
    note(ledger, run, "split")
    path = Path(f"{ledger}.{run}.items")
    path.write_text("".join(f"{number}\n" for number in range(count)))
    return {"items": {"path": str(path)}}


def work(ledger: str, run: str, item: int) -> dict[str, int]:
    """One of many."""
    note(ledger, run, f"work-{item}")
    return {"out": item}


def join(ledger: str, run: str, outs: list[int]) -> None:
    """Gets what all of them gave, in order."""
    if outs != list(range(len(outs))):
        raise ValueError("the results are not in the order of the items")
    note(ledger, run, "join")


def finish(ledger: str, run: str) -> None:
    """Comes after all of them."""
    note(ledger, run, "join")
