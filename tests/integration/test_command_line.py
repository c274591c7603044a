"""The program `kaon` against a system in one process: a gated run from its submission to its fork."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from kaon.cli.main import execute
from kaon.client import Client, Endpoints
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem

GATES = Path(__file__).parents[2] / "examples" / "gates" / "workflow.py"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Kaon = Callable[..., Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    # What the services log would stand among what the commands print.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with EmbeddedSystem(EmbeddedSettings(state=tmp_path_factory.mktemp("cli"), slots=2)) as system:
        yield system.address
    structlog.reset_defaults()


@pytest.fixture
def kaon(server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kaon:
    """Runs a command and returns its output; it must end with code 0, or with the one that is given."""
    monkeypatch.setenv("KAON_SERVER", server)
    monkeypatch.setenv("COLUMNS", "200")
    capsys.readouterr()

    def run(*words: str, code: int = 0) -> str:
        assert execute(words) == code
        captured = capsys.readouterr()
        return captured.out if code == 0 else captured.err

    return run


def gate_waits(server: str, run_id: str, path: str) -> None:
    with Client(Endpoints(server=server)) as client:
        for update in client.watch(run_id):
            if update.event.block_started.path == path:
                return
    raise AssertionError(f"{path} never waited")


def test_a_gated_run_is_answered_explained_verified_and_forked(
    kaon: Kaon, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = json.loads(kaon("submit", str(GATES), "--json"))["run"]["run_id"]
    gate_waits(server, run_id, "data-ready")
    assert f"(kaon signal {run_id} data-ready)" in kaon("show", run_id)
    assert "waits for a signal 'data-ready'" in kaon("why", run_id, "publish")
    assert "is RUNNING" in kaon("signal", run_id, "data-ready", '{"ratings": [5]}')
    gate_waits(server, run_id, "release")
    assert "may be answered by owner" in kaon("approve", run_id, code=1)
    monkeypatch.setenv("KAON_ROLES", "owner")
    monkeypatch.setenv("KAON_PRINCIPAL", "ada")
    assert "Approved release" in kaon("approve", run_id, "--comment", "fine")
    assert "run SUCCEEDED  text = " in kaon("watch", run_id)
    told = kaon("history", run_id)
    assert "release  approved by ada: fine" in told
    assert "gives the stored state" in kaon("verify", run_id)
    seq = next(line.split()[0] for line in told.splitlines() if "release  started" in line)
    assert "release     WAITING" in kaon("show", run_id, "--at", seq)
    forked = json.loads(kaon("fork", run_id, "--at", seq, "--json"))["run"]["run_id"]
    gate_waits(server, forked, "release")
    assert "Rejected release" in kaon("reject", forked, "--comment", "once more")
    assert execute(["watch", forked]) == 1
    assert f"forked from event {seq} of run {run_id}" in kaon("show", forked)
