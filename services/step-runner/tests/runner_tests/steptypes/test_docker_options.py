"""A docker step chooses nothing by which its containers get more of the machine than the runner gives."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.models.containers import RUN_CREATE_KWARGS, RUN_HOST_CONFIG_KWARGS
from docker.types import HostConfig

from kaon_runner.children import publishing
from kaon_runner.errors import InvalidSettings, UserStepError
from kaon_runner.settings import Settings
from kaon_runner.steptypes.base import CommandLaunch, PreparedStep
from kaon_runner.steptypes.docker import DockerStepType
from kaonapi.workflow.v1 import definition_pb2

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


def serving(root: Path, **settings: Any) -> PreparedStep:
    step = prepared({"image": "x", "ready": ["true"], "publish": {"web": 80}, **settings}, root)
    step.spec.serves = True
    step.spec.outputs["web"] = definition_pb2.VALUE_TYPE_STRING
    return step


def launched(step: PreparedStep, **settings: Any) -> dict[str, str]:
    """What the step's process is told."""
    launch = DockerStepType().prepare(step, Settings(**settings))
    assert isinstance(launch, CommandLaunch)
    return dict(launch.env)


def test_what_publishes_is_in_the_first_network_where_it_can_be_reached(tmp_path: Path) -> None:
    step = serving(tmp_path)
    told = launched(step)
    assert (told["KAON_DOCKER_NETWORK"], told["KAON_RUNNER_ADDRESS"]) == ("bridge", "127.0.0.1")
    allowed = ("host", "bridge", "search")
    assert launched(step, docker_networks=allowed)["KAON_DOCKER_NETWORK"] == "bridge"
    named = launched(step, docker_networks=allowed, runner_address="network")
    assert named["KAON_DOCKER_NETWORK"] == "search"
    asked = launched(serving(tmp_path, network="search"), docker_networks=allowed)
    assert asked["KAON_DOCKER_NETWORK"] == "search"
    quiet = serving(tmp_path, publish={})
    assert launched(quiet)["KAON_DOCKER_NETWORK"] == "none"


@pytest.mark.parametrize(
    ("network", "settings", "told"),
    [
        (None, {"docker_networks": ()}, "these would do: none"),
        (None, {"docker_networks": ("host",)}, "these would do: none"),
        (None, {"runner_address": "network"}, "any network of this runner"),
        (
            "bridge",
            {"runner_address": "network", "docker_networks": ("bridge", "search")},
            "cannot be reached in bridge; .* these would do: search .KAON_RUNNER_ADDRESS is network",
        ),
        ("none", {}, "has none of its own in the network 'none'"),
        ("search", {}, "this runner allows bridge, none"),
    ],
)
def test_what_cannot_be_reached_is_refused(
    network: str | None, settings: dict[str, Any], told: str, tmp_path: Path
) -> None:
    step = serving(tmp_path, **({} if network is None else {"network": network}))
    with pytest.raises(UserStepError, match=told) as refused:
        launched(step, **settings)
    assert refused.value.kind == "InvalidConfig"


@pytest.mark.parametrize("missing", [{"ready": []}, {"publish": {"other": 80}}, {"ready_ms": 0}])
def test_a_runner_checks_what_serves_itself(missing: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserStepError, match=r"ready|other"):
        launched(serving(tmp_path, **missing))


def test_a_step_that_does_not_serve_publishes_nothing(tmp_path: Path) -> None:
    told = refusal({"image": "x", "publish": {"web": 80}}, tmp_path)
    assert "publish is for a step that serves" in told


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "runner-1", "10.0.0.1:80", ""])
def test_the_address_of_a_runner_is_that_of_one_machine(address: str) -> None:
    with pytest.raises(InvalidSettings, match="KAON_RUNNER_ADDRESS"):
        Settings(runner_address=address)
    assert Settings.from_env({"KAON_RUNNER_ADDRESS": "fd00::7"}).runner_address == "fd00::7"


def test_an_address_of_the_sixth_version_is_written_with_brackets() -> None:
    bound = {"NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "fd00::7", "HostPort": "4711"}]}}}
    container = SimpleNamespace(attrs=bound, reload=lambda: None)
    assert publishing.ports({"web": 80}, "fd00::7") == {"ports": {"80/tcp": ("fd00::7",)}}
    assert publishing.addresses({"web": 80}, "fd00::7", container) == {"web": "[fd00::7]:4711"}
