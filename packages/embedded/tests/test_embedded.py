from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from kaon import load_workflow
from kaon.client import Client, Endpoints
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem
from kaonapi.run.v1 import run_pb2

TOUR = Path(__file__).parents[3] / "examples" / "tour" / "workflow.py"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def run_cli(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [str(Path(sys.executable).with_name("kaon")), "run", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100)


def test_the_tour_runs_in_one_process() -> None:
    done = run_cli(str(TOUR), "-p", "count=2")
    assert done.returncode == 0, done.stderr
    assert "cycle#3/regions[region-2]/train" in done.stdout
    assert "run SUCCEEDED" in done.stdout


def test_a_wrong_parameter_is_refused_by_name() -> None:
    done = run_cli(str(TOUR), "-p", "count=many")
    assert done.returncode == 1
    assert "count" in done.stderr
    assert "Traceback" not in done.stderr


def test_runs_survive_the_end_of_the_process(tmp_path: Path) -> None:
    workflow = load_workflow(TOUR)
    settings = EmbeddedSettings(state=tmp_path / "state", slots=2)
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:
        run = client.submit(workflow, {"count": 2}).run.run_id
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:
        deadline = time.monotonic() + 60
        while client.run(run).run.status != run_pb2.STATUS_SUCCEEDED:
            assert time.monotonic() < deadline, client.run(run)
            time.sleep(0.1)
