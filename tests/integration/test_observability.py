"""What the real system tells about itself: one trace from the client to the step, metrics of every service, and the doctor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shared_system import SharedSystem
from support import load

from kaon.client import Client, Endpoints
from kaon_local.system import System
from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

TRACE = "0af7651916cd43dd8448eb211c80319c"
CLIENT = f"00-{TRACE}-b7ad6b7169203331-01"


def submitted(system: System) -> str:
    with Client(Endpoints(server=system.api, trace_parent=CLIENT)) as client:
        run_id = client.submit(load("lists/workflow.py"), {"count": 3}).run.run_id
        for _ in client.watch(run_id):
            pass
        assert client.run(run_id).run.status == run_pb2.STATUS_SUCCEEDED
    return run_id


def scraped(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def test_every_service_counts_what_it_did(small_system: System) -> None:
    submitted(small_system)
    coordinator = scraped(small_system.metrics["coordinator"])
    assert 'kaon_runs_ended_total{status="SUCCEEDED"}' in coordinator
    assert 'kaon_api_seconds_count{code="OK",method="SubmitRun"}' in coordinator
    runners = [scraped(small_system.metrics[runner.name]) for runner in small_system.runners]
    assert 'kaon_runner_attempts_total{outcome="succeeded",type="python"}' in "".join(runners)
    assert all("kaon_runner_slots 4.0" in runner for runner in runners)


def test_the_doctor_finds_a_healthy_coordinator(small_system: System) -> None:
    environment = {**os.environ, "KAON_SERVER": small_system.api, "KAON_PUBLISHER": "127.0.0.1:1"}
    asked = [str(Path(sys.executable).with_name("kaon")), "doctor", "--json"]
    found = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    verdicts = {
        line["check"]: line["verdict"] for line in map(json.loads, found.stdout.splitlines())
    }
    assert verdicts["database"] == verdicts["broker"] == verdicts["commands"] == "ok"
    assert verdicts["pool default"] == "ok"
    assert verdicts["publisher"] == "warning"


def test_a_run_is_one_trace_from_the_client_to_its_steps(
    light_system: System, shared_system: SharedSystem
) -> None:
    run_id = submitted(light_system)
    # Spans leave in batches; a service that ends in order has sent all of its own.
    for service in (light_system.coordinator, *light_system.runners):
        service.restart()
    spans = [json.loads(line) for line in shared_system.traces.read_text().splitlines()]
    mine = [span for span in spans if span["attributes"]["kaon.run"] == run_id]
    assert {span["context"]["trace_id"] for span in mine} == {f"0x{TRACE}"}
    run = only(span for span in mine if span["name"].startswith("run "))
    assert run["parent_id"] == "0xb7ad6b7169203331"
    steps = {span["context"]["span_id"]: span for span in mine if span["name"].startswith("step ")}
    assert all(span["parent_id"] == run["context"]["span_id"] for span in steps.values())
    executions = [span for span in mine if span["name"] == "execute python"]
    assert {span["parent_id"] for span in executions} == set(steps)
    assert {span["resource"]["attributes"]["service.name"] for span in mine} == {
        "kaon-coordinator",
        "kaon-runner",
    }


def only(found: Iterator[Any]) -> Any:
    (one,) = found
    return one
