"""Functions of the workflows under test. Each execution leaves a line in a ledger, so that a test can count them."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from kaon.step import StepContext


def note(ledger: str, context: StepContext, event: str) -> None:
    """Appends one line to the ledger, in one write."""
    line = {
        "run": context.run_id,
        "step": context.step,
        "attempt": context.attempt,
        "event": event,
        "pid": os.getpid(),
        "time": time.time(),
    }
    with Path(ledger).open("a") as file:
        file.write(json.dumps(line) + "\n")


def regions(context: StepContext, count: int, ledger: str) -> dict[str, list[str]]:
    note(ledger, context, "done")
    return {"regions": [f"r{number}" for number in range(count)]}


def train(context: StepContext, region: str, seconds: float, ledger: str) -> dict[str, str]:
    note(ledger, context, "started")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        context.progress(1 - (end - time.monotonic()) / seconds, f"training {region}")
        time.sleep(min(0.2, seconds))
    note(ledger, context, "done")
    return {"model": f"model of {region}"}


def join(context: StepContext, models: list[str], ledger: str) -> dict[str, int]:
    note(ledger, context, "done")
    return {"count": len(models)}


def fail(context: StepContext, ledger: str) -> dict[str, int]:
    note(ledger, context, "started")
    raise ValueError("the data has no rows")


def outlive(context: StepContext, ledger: str) -> dict[str, int]:
    note(ledger, context, "started")
    time.sleep(600)
    return {"out": 1}


def misname(context: StepContext, ledger: str) -> dict[str, int]:
    note(ledger, context, "started")
    return {"other": 1}


def print_much(context: StepContext, ledger: str) -> dict[str, int]:
    note(ledger, context, "started")
    line = "x" * 99 + "\n"
    for _ in range(1_000_000):
        sys.stdout.write(line)
    return {"out": 1}


def die(context: StepContext, ledger: str) -> dict[str, int]:
    note(ledger, context, "started")
    os.kill(os.getpid(), signal.SIGSEGV)
    return {"out": 1}
