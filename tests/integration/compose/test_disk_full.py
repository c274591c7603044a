"""The broker's disk fills up, with runs under way, and is given space again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack import Stack, StackConfig, alone, told
from support import Api, load, until
from workload import Workload

from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

OVERRIDE = Path(__file__).with_name("small_disk.yml")
FILLER = "/var/lib/kafka/data/filler"
# How long the disk stays full after the broker has gone.
FULL_SECONDS = 5.0


@pytest.fixture(scope="module")
def small(images: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Broker, database, one coordinator and one runner; the broker's disk is small."""
    config = StackConfig(
        project=f"kaon-disk-{os.getpid()}",
        state=tmp_path_factory.mktemp("disk"),
        overrides=(OVERRIDE,),
    )
    with alone(config) as stack:
        stack.up("--no-deps", "disk-holder", "kafka", "postgres")
        stack.compose("run", "--rm", "--no-deps", "topics")
        stack.up("--no-deps", "coordinator", "gateway", "step-runner")
        yield stack


def fill(stack: Stack) -> None:
    """Takes all space of the broker's disk."""
    done = stack.container("disk-holder").exec_run(["bash", "-c", f"cat /dev/zero > {FILLER}"])
    assert b"No space left on device" in done.output, done.output


def empty(stack: Stack) -> None:
    """Gives it back."""
    done = stack.container("disk-holder").exec_run(["rm", FILLER])
    assert done.exit_code == 0, done.output


def broker_advice(stack: Stack) -> str:
    """What `kaon doctor` advises for the broker; nothing while all is well, or while the coordinator is too busy to be asked."""
    program = Path(sys.executable).with_name("kaon")
    argv = [str(program), "doctor", "--json", "--server", stack.api]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    found = {each["check"]: each for each in map(json.loads, done.stdout.splitlines())}
    broker = found.get("broker")
    if broker is None or broker["verdict"] != "bad":
        return ""
    assert done.returncode == 1
    return str(broker["advice"])


def test_a_full_disk_of_the_broker_is_a_pause_that_is_named(small: Stack) -> None:
    work = Workload(
        small.api, load("containers/workflow.py", "fan_out"), count=4, seconds=0.5
    ).start()
    until(lambda: work.acknowledged >= 6, seconds=60, what="some runs have ended, some go on")
    broker = small.container("kafka")
    fill(small)
    began = time.monotonic()
    until(lambda: not small.healthy(broker), seconds=60, what="the broker is not healthy")
    noticed = time.monotonic() - began
    until(lambda: "disk" in broker_advice(small), seconds=60, what="the doctor says so")
    time.sleep(FULL_SECONDS)
    api = Api(small.api)
    waiting = api.submit(load("containers/workflow.py", "fan_out"), count=1)
    assert api.get(waiting).run.status in {run_pb2.STATUS_PENDING, run_pb2.STATUS_RUNNING}
    during = work.acknowledged
    empty(small)
    freed = time.monotonic()
    small.await_healthy(broker)
    healthy = time.monotonic() - freed
    target = work.acknowledged + 4
    until(lambda: work.acknowledged >= target, seconds=120, what="runs are accepted again")
    again = time.monotonic() - freed
    outcome = work.finish()
    assert api.wait(waiting).status == run_pb2.STATUS_SUCCEEDED
    api.close()
    assert "waits for space" in broker.logs().decode()
    told(
        "the broker's disk is full",
        [
            f"unhealthy after {noticed:.1f} s; healthy {healthy:.1f} s after there was space, runs end {again:.1f} s after",
            f"{during} runs acknowledged until then, {len(outcome.runs)} in all, {outcome.steps} steps",
            f"longest pause {outcome.longest_pause:.1f} s, {outcome.lost} leases lost, {outcome.repeated} submits repeated",
        ],
    )
    assert outcome.lost == 0, "a broker that is away costs no lease"


def test_down_leaves_the_data_alone_and_with_volumes_nothing(small: Stack) -> None:
    """Seen by the project's label: other systems on the same engine are not looked at."""
    small.down(data=False)
    left = small.leftovers()
    assert left, "the data is there"
    assert {each.split()[0] for each in left} == {"volume"}, left
    small.down()
    assert small.leftovers() == []
