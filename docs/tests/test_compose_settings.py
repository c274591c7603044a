"""What a service in a container reads can be given to docker-compose.yml: a limit that does not reach a service holds nobody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

import kaon_console.settings
import kaon_coordinator.settings
import kaon_coordinator.view.view_settings
import kaon_publisher.settings
from docsite import settings
from docsite.variables import ELSEWHERE, Variable
from kaon_local.compose import compose

_CALLS = (*settings.of_access(), *ELSEWHERE["Coordinator, view service and publisher"])
# What each reads, and what of it the container says by itself: its addresses, its places, its name.
READ: Mapping[str, tuple[tuple[Variable, ...], frozenset[str]]] = {
    "coordinator": (
        (*settings.read_by(kaon_coordinator.settings), *_CALLS),
        frozenset({"KAON_ADDRESS", "KAON_OWNER"}),
    ),
    "view": ((*settings.read_by(kaon_coordinator.view.view_settings), *_CALLS), frozenset()),
    "model-publisher": (
        (*settings.read_by(kaon_publisher.settings), *_CALLS),
        frozenset({"KAON_PUBLISHER_ADDRESS", "KAON_PUBLISHER_LAYOUTS"}),
    ),
    "console": (
        (*settings.read_by(kaon_console.settings), *settings.of_access()),
        frozenset({"KAON_CONSOLE_ADDRESS", "KAON_CONSOLE_STATE"}),
    ),
    "step-runner": (
        settings.of_runner(),
        frozenset(
            {
                *("KAON_CACHE", "KAON_WORK", "KAON_HEALTH", "KAON_RUNNER_ID", "KAON_PYTHON"),
                # Containers have no engine; of the token of a runner KAON_TOKEN is told.
                *("KAON_DOCKER_HOST", "KAON_PUBLISHER_TOKEN"),
            }
        ),
    ),
}


@pytest.fixture(scope="module")
def given() -> dict[str, Any]:
    """The services as compose reads them."""
    told = {"KAON_POSTGRES_PASSWORD": "none", "KAON_TAG": "dev"}
    text = compose("--env-file", "/dev/null", "config", "--format", "json", env=told)
    found: dict[str, Any] = json.loads(text)["services"]
    return found


@pytest.mark.parametrize("service", READ)
def test_every_setting_of_a_service_can_be_given_to_compose(
    given: dict[str, Any], service: str
) -> None:
    read, own = READ[service]
    known = {variable.name for variable in read}
    assert own <= known
    assert sorted(known - own - given[service]["environment"].keys()) == []


@pytest.mark.parametrize("service", ["coordinator", "view", "model-publisher", "console"])
def test_a_file_with_limits_of_tenants_lies_where_it_is_named(
    given: dict[str, Any], service: str
) -> None:
    place = given[service]["environment"].get("KAON_TENANTS")
    mounted = {each["target"] for each in given[service].get("volumes", [])}
    assert place is None or place in mounted
