"""Functions of the workflows that are run in bad weather. Each execution leaves lines in a ledger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from kaon.step import StepContext


def note(ledger: str, context: StepContext, event: str) -> None:
    """Appends one line to the ledger, in one write."""
    line = {
        "step": context.step,
        "event": event,
        "generation": context.generation,
        "runner": os.environ["KAON_RUNNER_ID"],
        "pid": os.getpid(),
        "time": time.time(),
    }
    with Path(ledger).open("a") as file:
        file.write(json.dumps(line) + "\n")


def split(count: int) -> dict[str, list[int]]:
    return {"numbers": list(range(count))}


def work(context: StepContext, number: int, seconds: float, ledger: str) -> dict[str, int]:
    note(ledger, context, "started")
    time.sleep(seconds)
    note(ledger, context, "done")
    return {"number": number}


def join(numbers: list[int]) -> dict[str, int]:
    return {"total": sum(numbers)}


def poison(context: StepContext, ledger: str) -> dict[str, int]:
    """Kills the runner that runs it."""
    note(ledger, context, "started")
    supervisor = psutil.Process().parent()
    assert supervisor is not None
    runner = supervisor.parent()
    assert runner is not None
    runner.kill()
    time.sleep(60)
    return {"out": 1}


def forks_a_daemon(context: StepContext, ledger: str) -> dict[str, int]:
    """Leaves a process in a session of its own that is deaf to SIGTERM, and becomes deaf itself."""
    code = f"""
import json, os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open({ledger!r}, "a") as file:
    file.write(json.dumps({{"event": "daemon", "pid": os.getpid()}}) + "\\n")
time.sleep(1000)
"""
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(ledger, context, "started")
    time.sleep(1000)
    return {"out": 1}


def fills_its_disk(context: StepContext, ledger: str) -> dict[str, int]:
    note(ledger, context, "started")
    for number in range(200):
        (context.work / str(number)).write_bytes(b"x" * 2**20)
        time.sleep(0.005)
    time.sleep(60)
    return {"out": 1}


def eats_its_memory(context: StepContext, ledger: str) -> dict[str, int]:
    note(ledger, context, "started")
    held = [b"x" * 2**20 for _ in range(1000)]
    return {"out": len(held)}


def prints_without_newline(context: StepContext, ledger: str) -> dict[str, int]:
    note(ledger, context, "started")
    sys.stdout.write("loading")
    sys.stdout.flush()
    while not Path(ledger + ".seen").exists():
        time.sleep(0.05)
    for _ in range(2000):
        sys.stdout.write("." * 1000)
    return {"out": 1}


def takes_orders(context: StepContext, ledger: str) -> dict[str, int]:
    """Adds up what it is told until it is told to end."""
    note(ledger, context, "started")
    total = 0
    while (order := context.wait_signal("add", timeout=60)) is not None and order.payload != "end":
        total += order.payload
        context.metric("total", total, step=order.seq)
    return {"out": total}


def resumes(context: StepContext, ledger: str) -> dict[str, int]:
    """Fails once after half of its work, and begins where it was."""
    note(ledger, context, "started")
    done = context.last_checkpoint or {"half": 0}
    if context.attempt == 1:
        context.checkpoint({"half": 21})
        raise ConnectionError("the line is cut")
    return {"out": 2 * done["half"]}


def works_alone(context: StepContext, ledger: str) -> dict[str, int]:
    """Notes every tenth of a second that it lives."""
    note(ledger, context, "started")
    for _ in range(30):
        note(ledger, context, "alive")
        time.sleep(0.1)
    return {"out": 1}


def tells_its_version(context: StepContext, ledger: str) -> dict[str, int]:
    """The second number of the version of six, which is another one in the runner's own environment."""
    import six

    note(ledger, context, "started")
    return {"out": int(six.__version__.split(".")[1])}
