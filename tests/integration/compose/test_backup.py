"""A backup of PostgreSQL brings everything back that was there when it was made, runs under way included."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from stack import Stack, told
from support import Api, load

from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


def postgres(stack: Stack, *words: str, stdin: bytes = b"") -> bytes:
    """What docs/operations.md tells people to type."""
    command = f"{stack.command} --project-name {stack.config.project} exec -T postgres postgres-node {' '.join(words)}"
    done = subprocess.run(command, shell=True, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_what_a_backup_holds_goes_on_after_it_is_restored(
    stack: Stack, api: Api, tmp_path: Path
) -> None:
    fan_out = load("containers/workflow.py", "fan_out")
    ended = api.submit(fan_out, count=2, seconds=0.1)
    assert api.wait(ended).status == run_pb2.STATUS_SUCCEEDED
    history = list(api.history(ended))
    running = api.submit(fan_out, count=8, seconds=5.0)
    api.await_leased(running, "work")
    backup = postgres(stack, "dump", "kaon")
    services = ("coordinator", "view", "step-runner")
    stack.compose("stop", *services)
    postgres(stack, "restore", "kaon", stdin=backup)
    stack.compose("start", *services)
    for service in services:
        for container in stack.containers(service):
            stack.await_healthy(container)
    assert list(api.history(ended)) == history
    assert api.wait(running, 120).status == run_pb2.STATUS_SUCCEEDED
    told("backup", [f"{len(backup) / 1e6:.1f} MB"])
