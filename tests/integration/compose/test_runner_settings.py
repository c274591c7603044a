"""What runners and coordinators in containers can be told beyond the defaults."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest
from stack import Stack
from support import Api, load, until

from kaon.client import Client, Endpoints
from kaon_local.paths import ROOT
from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

DOCKER_STEPS = ROOT / "deploy" / "compose" / "docker-steps.yml"
# The user in the images.
KAON_USER = 10001


@pytest.fixture
def with_docker_steps(stack: Stack) -> Iterator[Stack]:
    """The system, with runners that have the engine's socket."""
    # Where the engine finds it too, and everybody may pass.
    with tempfile.TemporaryDirectory(prefix="kaon-steps-", dir="/var/tmp") as directory:
        os.chown(directory, KAON_USER, KAON_USER)
        stack.set(KAON_STEPS_DIRECTORY=directory)
        more = stack.over(DOCKER_STEPS)
        try:
            more.up("--no-deps", "step-runner")
            yield stack
            stack.up("--no-deps", "step-runner")
        finally:
            more.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to the runners' user")
def test_docker_steps_run_where_a_runner_is_given_an_engine(
    with_docker_steps: Stack, api: Api
) -> None:
    image = with_docker_steps.settings["KAON_SERVING_BASE"]
    run = api.submit(load("containers/docker_step.py", "docker_flow")(image), count=3)
    ended = api.wait(run)
    assert ended.status == run_pb2.STATUS_SUCCEEDED, ended.error
    assert api.steps(run)["inside"].outputs_json["total"] == "42"


def test_without_an_engine_a_docker_step_waits_and_is_told_why(stack: Stack) -> None:
    with Client(Endpoints(server=stack.api)) as client:
        run = client.submit(
            load("containers/docker_step.py", "docker_flow")("any"), {"count": 1}
        ).run.run_id
        until(
            lambda: "No runner has step-type.docker" in str(client.why(run, "inside")),
            seconds=30,
            what=f"why it waits: {client.why(run, 'inside')}",
        )
        client.cancel(run, "the test is over")


def test_a_quota_of_the_tenants_file_holds(stack: Stack) -> None:
    with Client(Endpoints(server=stack.api, tenant="small")) as client:
        run = client.submit(
            load("containers/workflow.py", "fan_out"), {"count": 4, "seconds": 0.3}
        ).run.run_id
        running: set[str] = set()
        most = 0
        for update in client.watch(run):
            event = update.event
            if event.HasField("step_leased") and event.step_leased.path.endswith("work"):
                running.add(event.step_leased.path)
            if event.HasField("step_ended"):
                running.discard(event.step_ended.path)
            most = max(most, len(running))
        assert client.run(run).run.status == run_pb2.STATUS_SUCCEEDED
    assert most == 1
