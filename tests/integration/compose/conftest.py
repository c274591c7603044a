"""The system in containers, started once by pytest-docker for all tests that need it, on images built from this checkout."""

from __future__ import annotations

import os
from collections.abc import Iterator

import docker
import pytest
from pytest_docker.plugin import get_docker_services
from stack import FILE, START_SECONDS, TAG, Stack, StackConfig, told
from support import Api

from kaon_local.docker_engine import engine_answers
from kaon_local.images import build_all

NEEDED = (
    *("kafka", "postgres", "registry", "gateway", "coordinator", "model-publisher", "consumer"),
    *("hdfs", "sql-server", "step-runner-full"),
)


@pytest.fixture(scope="session")
def images(docker_wanted: bool) -> tuple[str, ...]:
    """All images that the tests start, with the tag that they use."""
    url = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if not docker_wanted or not engine_answers(url):
        pytest.skip("no Docker engine answers: make test brings one along")
    client = docker.DockerClient(base_url=url, timeout=300)
    try:
        built = list(build_all(client, tag=TAG, only=NEEDED))
    finally:
        client.close()
    told(
        "images",
        [f"{each.name} {each.size_bytes / 1e6:.0f} MB, built in {each.seconds:.0f} s" for each in built],
    )
    return tuple(each.name for each in built)


@pytest.fixture(scope="session")
def stack(images: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything of docker-compose.yml, with two coordinators and one runner."""
    assert images
    config = StackConfig(project=f"kaon-test-{os.getpid()}", state=tmp_path_factory.mktemp("stack"))
    stack = Stack(config)
    up = f"up --detach --wait --wait-timeout {START_SECONDS} --scale coordinator=2 --scale step-runner=1"
    down = "down --volumes --remove-orphans --timeout 5"
    with get_docker_services(stack.command, str(FILE), config.project, [up], [down]):
        yield stack
    left = stack.leftovers()
    stack.close()
    assert not left, f"compose down left {left}"


@pytest.fixture
def api(stack: Stack) -> Iterator[Api]:
    """The API behind the gateway."""
    api = Api(stack.api)
    yield api
    api.close()
