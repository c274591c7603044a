"""What goes between a run and its running steps, on the real system: checkpoints and grants."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import Api, ledger_lines, load, until
from weather import runner_named

from kaon_local.system import System
from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


@pytest.fixture
def api(light_system: System) -> Iterator[Api]:
    api = Api(light_system.api)
    yield api
    api.close()


def submit(api: Api, name: str, ledger: Path) -> str:
    return api.submit(load("storms/storm.py", "FLOWS")[name], ledger=str(ledger))


def out(api: Api, run: str) -> int:
    return int(json.loads(api.steps(run)["only"].outputs_json["out"]))


def test_the_next_attempt_begins_at_the_last_ones_checkpoint(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    run = submit(api, "resumes", tmp_path / "ledger")
    assert api.wait(run, 60).status == run_pb2.STATUS_SUCCEEDED
    assert (out(api, run), api.steps(run)["only"].attempt) == (42, 2)


def test_an_exclusive_step_is_granted_and_never_runs_beside_an_earlier_holder(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    run = submit(api, "works-alone", ledger)
    until(lambda: bool(ledger_lines(ledger)), seconds=30, what="the first holder works")
    first = ledger_lines(ledger)[0]
    # Asleep it can neither renew nor end its step: its supervisor does.
    sleeper = runner_named(light_system, first["runner"])
    sleeper.pause()
    try:
        assert api.wait(run, 120).status == run_pb2.STATUS_SUCCEEDED
    finally:
        sleeper.resume()
    lines = ledger_lines(ledger)
    ended = max(line["time"] for line in lines if line["pid"] == first["pid"])
    began = min((line["time"] for line in lines if line["runner"] != first["runner"]), default=0.0)
    assert began > ended, "two attempts of an exclusive step ran at once"
    print(f"the next holder began {began - first['time']:.1f} s after the first")
    assert api.steps(run)["only"].lost_runners == 1
