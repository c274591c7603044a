"""A docker step chooses nothing by which its containers get more of the machine than the runner gives."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import RUN_CREATE_KWARGS, RUN_HOST_CONFIG_KWARGS
from docker.types import HostConfig

from kaon_runner.errors import InvalidSettings, UserStepError
from kaon_runner.settings import Settings
from kaon_runner.steptypes.base import CommandLaunch
from kaon_runner.steptypes.docker import DockerStepType

from .test_configs import prepared

# What a step says of its containers, under the same names as the client of the engine. "network" has its own test.
OURS = {"image", "user", "name"}
# Everything that the client can ask of an engine.
OPTIONS = sorted(
    {
        *RUN_CREATE_KWARGS,
        *RUN_HOST_CONFIG_KWARGS,
        *(set(inspect.signature(HostConfig).parameters) - {"version"}),
        *("network_mode", "networking_config", "mounts", "volumes"),
    }
    - OURS
)
FOREIGN_NETWORKS = (
    "host",
    "container:kaon-step-of-others",
    "ns:/proc/1/ns/net",
    "default",
    "kaon_data",
    # A network can be named by its id.
    "7fca4eb8c647",
)


def refusal(config: dict[str, Any], root: Path, settings: Settings | None = None) -> str:
    with pytest.raises(UserStepError) as refused:
        DockerStepType().prepare(prepared(config, root), settings or Settings())
    assert refused.value.kind == "InvalidConfig"
    return str(refused.value)


def test_the_options_are_those_of_the_client() -> None:
    hostile = {"privileged", "pid_mode", "ipc_mode", "devices", "volumes_from", "cap_add"}
    assert hostile | {"security_opt", "network_mode", "volumes", "binds"} <= set(OPTIONS)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_of_the_engine_that_is_not_ours_is_refused(option: str, tmp_path: Path) -> None:
    assert f"unknown setting {option}" in refusal({"image": "x", option: True}, tmp_path)


@pytest.mark.parametrize("option", [*OPTIONS, "network"])
def test_a_sidecar_has_no_such_option_either(option: str, tmp_path: Path) -> None:
    beside = {"name": "db", "image": "x", option: True}
    told = refusal({"image": "x", "sidecars": [beside]}, tmp_path)
    assert f"unknown setting {option}" in told
    assert "sidecar 'db'" in told


@pytest.mark.parametrize("network", FOREIGN_NETWORKS)
def test_a_network_that_the_runner_does_not_allow_is_refused(network: str, tmp_path: Path) -> None:
    told = refusal({"image": "x", "network": network}, tmp_path)
    assert f'"network" is {network!r}, this runner allows bridge, none' in told
    assert "KAON_DOCKER_NETWORKS" in told


def test_a_runner_says_which_networks_it_allows(tmp_path: Path) -> None:
    settings = Settings.from_env({"KAON_DOCKER_NETWORKS": "host, search"})
    for network in ("none", "host", "search"):
        step = prepared({"image": "x", "network": network}, tmp_path)
        assert isinstance(DockerStepType().prepare(step, settings), CommandLaunch)
    assert "allows host, none, search" in refusal(
        {"image": "x", "network": "bridge"}, tmp_path, settings
    )


def test_no_runner_allows_the_network_of_a_container() -> None:
    with pytest.raises(InvalidSettings, match="KAON_DOCKER_NETWORKS: 'container:x' is no network"):
        Settings.from_env({"KAON_DOCKER_NETWORKS": "bridge,container:x"})
