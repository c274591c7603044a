"""The whole system, started once for all tests that need it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    config = SystemConfig(state=state / "whole", docker=docker_wanted)
    with System(config, report=print) as running:
        yield running


@pytest.fixture
def light_system(tmp_path: Path) -> Iterator[System]:
    """Kafka, the coordinator and two runners, for one test alone: it may be broken at will."""
    config = SystemConfig(state=tmp_path / "light", engines=False, docker=False, publisher=False)
    with System(config, report=print) as running:
        yield running
