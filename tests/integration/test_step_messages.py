"""What goes between a run and its running steps, on the real system: signals, checkpoints, grants; and their environments."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import six
from support import Api, ledger_lines, load, until
from weather import runner_named

from kaon_local.system import System
from kaonapi.run.v1 import run_pb2, run_service_pb2

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


def signal(api: Api, run: str, payload: object) -> None:
    request = run_service_pb2.SignalRunRequest(
        run_id=run, name="add", payload_json=json.dumps(payload), path="only"
    )
    api.runs.SignalRun(request)


def test_signals_reach_a_running_step_and_its_numbers_come_out(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    run = submit(api, "takes-orders", tmp_path / "ledger")
    api.await_leased(run, "only")
    sent = time.monotonic()
    for number in (1, 2, 39):
        signal(api, run, number)
    until(
        lambda: api.steps(run)["only"].metrics.get("total") == 42,
        seconds=10,
        what="the step's total",
    )
    print(f"three signals heard and answered within {time.monotonic() - sent:.2f} s")
    signal(api, run, "end")
    assert api.wait(run, 30).status == run_pb2.STATUS_SUCCEEDED
    assert out(api, run) == 42


def test_the_next_attempt_begins_at_the_last_ones_checkpoint(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    run = submit(api, "resumes", tmp_path / "ledger")
    assert api.wait(run, 60).status == run_pb2.STATUS_SUCCEEDED
    assert (out(api, run), api.steps(run)["only"].attempt) == (42, 2)


def test_a_step_runs_in_the_environment_of_its_requirements_file(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    run = submit(api, "tells-its-version", tmp_path / "ledger")
    ended = api.wait(run, 120)
    assert ended.status == run_pb2.STATUS_SUCCEEDED, ended.error
    assert out(api, run) == 15
    assert not six.__version__.startswith("1.15.")


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
