"""A step in a process of its own, and how that ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# A library in C++ that aborts in its exit handler, and Python's own exit handlers, which must run.
_PREPARED = """
import atexit, ctypes, sys, threading, time
library = ctypes.CDLL(None)
library.__cxa_atexit(library.abort, None, None)
atexit.register(print, "said at exit")

def late():
    time.sleep(0.2)
    print("said by a thread")

def step():
    threading.Thread(target=late).start()
    {body}
"""


def ended(directory: Path, body: str) -> subprocess.CompletedProcess[str]:
    """The process of a step whose function ends with this statement."""
    for name in ("work", "outputs", "artifacts"):
        (directory / name).mkdir()
    paths = {
        name: str(directory / name)
        for name in ("work", "outputs", "artifacts", "events", "commands")
    }
    identity = {"run_id": "run", "workflow": "w", "step": "s", "name": "s", "tenant": "default"}
    counts = {"protocol": 1, "attempt": 1, "generation": 1, "iteration": 1}
    values = {
        "params": {},
        "inputs": {},
        "outputs": {},
        "config": {},
        "checkpoint": None,
        "scratch": "",
    }
    (directory / "context.json").write_text(
        json.dumps({**identity, **counts, **values, "paths": paths})
    )
    (directory / "prepared.py").write_text(_PREPARED.format(body=body))
    pipes = []
    for name in ("events", "commands"):
        os.mkfifo(directory / name)
        pipes.append(os.open(directory / name, os.O_RDWR))
    try:
        return subprocess.run(
            [sys.executable, "-m", "kaon.step.main", "prepared:step"],
            env={**os.environ, "KAON_STEP_DIR": str(directory), "PYTHONPATH": str(directory)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        for pipe in pipes:
            os.close(pipe)


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ("return {}", 0, ""),
        ("raise ValueError('no')", 1, ""),
        ("sys.exit(7)", 7, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit('in words')", 1, "in words\n"),
    ],
)
def test_its_code_says_how_it_ended_whatever_a_library_does_at_exit(
    tmp_path: Path, body: str, code: int, told: str
) -> None:
    done = ended(tmp_path, body)
    assert (done.returncode, done.stderr) == (code, told)
    assert done.stdout.splitlines() == ["said by a thread", "said at exit"]
