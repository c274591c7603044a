"""The same steps as Celery tasks. Runs in the peer's own environment: it imports nothing of Kaon."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import worker_ready

app = Celery("bench", broker=os.environ["BENCH_REDIS"], backend=os.environ["BENCH_REDIS"])
app.conf.update(
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")),
    broker_connection_retry_on_startup=True,
    result_expires=3600,
    worker_send_task_events=False,
)
_ledgers: dict[str, int] = {}


def write(ledger: str, run: str, step: str) -> None:
    """See `bench_steps.note`: the same line, written the same way."""
    start = time.time_ns()
    if ledger not in _ledgers:
        _ledgers[ledger] = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(_ledgers[ledger], f"{run} {step} {start} {time.time_ns()}\n".encode())


@worker_ready.connect
def tell(**_: Any) -> None:
    """The worker says so, for whoever has started it."""
    Path(os.environ["BENCH_READY"]).touch()


@app.task(ignore_result=True)
def note(ledger: str, run: str, step: str) -> None:
    """A step without a result."""
    write(ledger, run, step)


@app.task
def work(ledger: str, run: str, item: int) -> int:
    """One of many, whose result is joined."""
    write(ledger, run, f"work-{item}")
    return item


@app.task(ignore_result=True)
def join(outs: list[int], ledger: str, run: str) -> None:
    """Gets what all of them gave, in order."""
    if outs != list(range(len(outs))):
        raise ValueError("the results are not in the order of the items")
    write(ledger, run, "join")
