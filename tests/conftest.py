"""The whole system, started once for all tests that need it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from pytest_docker.plugin import get_docker_services
from shared_system import SharedSystem
from stack import FILE, START_SECONDS, Stack, StackConfig, attach, build, remove_orphans

from kaon_local.docker_engine import engine_answers
from kaon_local.postgres import temporary_postgres
from kaon_local.system import System, SystemConfig, can_have_docker


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where servers under test keep their files."""
    return tmp_path_factory.mktemp("system")


@pytest.fixture(scope="session")
def docker_wanted() -> bool:
    """Whether there is a Docker engine; without one in CI the tests fail instead of being skipped."""
    found = can_have_docker()
    assert found or not os.environ.get("CI"), "CI needs a Docker engine: .ci/run installs one"
    return found


@pytest.fixture(scope="session")
def system(state: Path, docker_wanted: bool) -> Iterator[System]:
    """Everything: Kafka, HDFS, Spark with Hive, Docker and a registry where there can be, and all services with two runners."""
    config = SystemConfig(state=state / "whole", kept=False, docker=docker_wanted)
    with System(config, report=print) as running:
        yield running


@pytest.fixture(scope="session")
def shared_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedSystem]:
    """Kafka, the coordinator and two runners, started once; tests that break it ask for `light_system`."""
    shared = SharedSystem(tmp_path_factory.mktemp("shared"))
    yield shared
    shared.discard()


@pytest.fixture
def small_system(shared_system: SharedSystem) -> System:
    """The shared system, for tests that leave it as they found it."""
    return shared_system.system


@pytest.fixture
def light_system(shared_system: SharedSystem, request: pytest.FixtureRequest) -> Iterator[System]:
    """The shared system, which this test may break at will: it is mended afterwards, or replaced if the test failed."""
    failed = request.session.testsfailed
    yield shared_system.system
    if request.session.testsfailed > failed:
        shared_system.discard()
        return
    try:
        shared_system.mend()
    except BaseException:
        shared_system.discard()
        raise


@pytest.fixture(scope="session")
def three_coordinators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Three coordinators that share the runs of one PostgreSQL, a process that only answers the API, and two runners."""
    with temporary_postgres() as server:
        config = SystemConfig(
            state=tmp_path_factory.mktemp("three"),
            kept=False,
            coordinators=3,
            apis_only=1,
            engines=False,
            docker=False,
            publisher=False,
            database=server.create_database("runs"),
        )
        with System(config, report=print) as system:
            yield system


@pytest.fixture(scope="session")
def images(docker_wanted: bool) -> tuple[str, ...]:
    """All images that the tests start, with the tag that they use."""
    if os.environ.get("KAON_STACK"):
        return ()
    url = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if not docker_wanted or not engine_answers(url):
        pytest.skip("no Docker engine answers: make test brings one along")
    remove_orphans()
    client = docker.DockerClient(base_url=url, timeout=300)
    try:
        built = build(client)
        if os.environ.get("CI"):
            # Nothing is built again there, and what only builds need is more than half of the space.
            client.images.prune_builds(all=True)
        return built
    finally:
        client.close()


@pytest.fixture(scope="session")
def stack(images: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything of docker-compose.yml, with two coordinators and one runner.

    KAON_STACK names the directory of a system that runs already, to try one test again and again; `python tests/stack.py DIRECTORY`
    starts one.
    """
    if found := os.environ.get("KAON_STACK"):
        yield attach(Path(found))
        return
    assert images
    state = tmp_path_factory.mktemp("stack")
    tenants = state / "tenants.toml"
    tenants.write_text("[tenants.small]\nquota = { slots = 1 }\n")
    config = StackConfig(
        project=f"kaon-test-{os.getpid()}",
        state=state,
        settings={"KAON_TENANTS_FILE": str(tenants)},
    )
    stack = Stack(config)
    up = f"up --detach --wait --wait-timeout {START_SECONDS} --scale coordinator=2 --scale step-runner=1"
    down = "down --volumes --remove-orphans --timeout 5"
    try:
        with get_docker_services(stack.command, str(FILE), config.project, [up], [down]):
            yield stack
    except BaseException:
        # What did not come up has not been taken down.
        stack.down()
        raise
    left = stack.leftovers()
    stack.close()
    assert not left, f"compose down left {left}"
