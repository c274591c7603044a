"""Cancel during a step of each engine: within five seconds nothing of it is left, here or on a server."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import docker
import psutil
import pytest
from support import Api, load, until

from kaon_local.base_image import base_name
from kaon_local.system import System
from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture
def api(system: System) -> Iterator[Api]:
    api = Api(system.api)
    yield api
    api.close()


def processes_of_steps(system: System, run_id: str) -> list[psutil.Process]:
    """Processes under the runners that have the run's id in their environment or belong to a busy worker."""
    found = []
    for runner in system.runners:
        for process in psutil.Process(runner.pid).children(recursive=True):
            try:
                if run_id in process.environ().get("KAON_STEP_DIR", ""):
                    found.append(process)
            except psutil.Error:
                continue
    return found


def load_of(system: System) -> float:
    """CPU seconds that the Spark server has used."""
    assert system.spark is not None
    assert system.spark.pid is not None
    times = psutil.Process(system.spark.pid).cpu_times()
    return float(times.user + times.system)


def cancel_and_check(api: Api, system: System, run: str, seconds: float = 5) -> None:
    began = time.monotonic()
    api.cancel(run)
    ended = api.wait(run, 2 * seconds)
    took = time.monotonic() - began
    assert ended.status == run_pb2.STATUS_CANCELLED
    assert processes_of_steps(system, run) == []
    assert took < seconds, f"cancelled after {took:.1f} s"


@pytest.mark.parametrize("engine", ["spark", "r", "scala", "hive"])
def test_a_cancelled_step_leaves_nothing(system: System, api: Api, engine: str) -> None:
    run = api.submit(load("engines/workflow.py", "FLOWS")[engine])
    api.await_leased(run, "only")
    if engine == "hive":
        before = load_of(system)
        until(lambda: load_of(system) > before + 1, seconds=60, what="the query is at work")
    else:
        until(lambda: step_progress(api, run) > 0, seconds=90, what="the step is at work")
    # A Hive step stays until the server must have planned its statement, which takes long on a busy machine.
    cancel_and_check(api, system, run, seconds=35 if engine == "hive" else 5)
    if engine in {"spark", "hive"}:
        until(
            lambda: is_idle(system), seconds=15, what="the server has stopped working for the step"
        )


def step_progress(api: Api, run: str) -> float:
    return api.steps(run)["only"].progress


def is_idle(system: System) -> bool:
    before = load_of(system)
    time.sleep(0.5)
    return load_of(system) - before < 0.2


def test_a_cancelled_docker_step_leaves_no_container(system: System, api: Api) -> None:
    if system.docker is None:
        pytest.skip("no Docker engine answers here, and none can be started")
    assert not (system.docker is None and os.environ.get("CI"))
    client = docker.DockerClient(base_url=system.docker.config.url)
    try:
        run = api.submit(load("engines/workflow.py", "docker_flow")(base_name()))

        def containers() -> list[object]:
            return list(client.containers.list(all=True, filters={"label": f"kaon.run={run}"}))

        until(lambda: bool(containers()), seconds=60, what="the step's container")
        cancel_and_check(api, system, run)
        assert containers() == []
    finally:
        client.close()
