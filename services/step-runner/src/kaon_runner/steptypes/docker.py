"""Docker steps: a container that follows the step protocol through a mounted directory."""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import closing
from importlib.util import find_spec

from kaon_runner.errors import UserStepError
from kaon_runner.settings import IN_NETWORK
from kaon_runner.steptypes import config, sidecar_config
from kaon_runner.steptypes.base import (
    CommandLaunch,
    Detection,
    Launch,
    PreparedStep,
    Settings,
    StepType,
)
from kaon_runner.steptypes.lease import lease_id
from kaon_runner.steptypes.sidecar_config import LEAST_MEMORY_BYTES
from kaon_wire.definitions.containers import (
    PORTLESS_NETWORKS,
    SERVING_SETTINGS,
    container_problems,
)

_SETTINGS = (
    "image",
    "argv",
    "env",
    "network",
    "user",
    "memory_bytes",
    "cpus",
    "pids",
    "pull",
    "sidecars",
    *SERVING_SETTINGS,
)
_DEFAULT_HOST = "unix:///var/run/docker.sock"
PULL_POLICIES = ("missing", "always", "never")
# Only loopback, of the step's own containers.
NO_NETWORK = "none"
# The engine's own network, in which containers have no names.
_NAMELESS_NETWORKS = ("bridge", "default")


class DockerStepType(StepType):
    """Config: {"image", "argv": [...], "env": {...}, "network", "user", "memory_bytes", "cpus", "pids", "pull"}.

    Only `image` must be given. `network` is "none" or one that the runner allows; `user` is the runner's own, so that what the
    container writes can be read and removed; `pull` is "missing" (the default), "always" or "never".

    The step's directory is mounted at /kaon/step, which KAON_STEP_DIR names in the container; artifact inputs are mounted read-only
    at /kaon/inputs/<input>/<name of the file> (in a list: /kaon/inputs/<input>/<index>/<name of the file>), without the last part
    when the artifact has no name. context.json has these paths. Every input is in the environment
    as KAON_INPUT_<NAME>; `${name}` with the name of an input becomes its value, in argv and in the values of env. Without
    memory_bytes, cpus and pids the container gets what the step asks for.

    "sidecars" is a list of containers that run beside it, each {"name", "image", "argv", "env", "user", "ready": [...], "ready_ms",
    "memory_bytes", "cpus"}: they are started before it in this order, reach it and each other at localhost, and end with it. A
    sidecar is ready when its program `ready` has ended with code 0 in it; without one, when it runs.

    A step that serves has "ready" and "ready_ms", too, for its own container: it serves when it is ready. "publish" has ports of
    the container by the names of outputs, which become the addresses, "host:port", at which others reach them.
    """

    name = "docker"

    def detect(self, settings: Settings) -> Detection:
        """Detect a Docker engine that answers."""
        if find_spec("docker") is None:
            return Detection(available=False, reason="install the Python package docker")
        try:
            _reach(settings.docker_host)
        except OSError as error:
            return Detection(available=False, reason=f"no Docker engine answers: {error}")
        # Takes longer to load than a small runner to start, and many machines have no engine.
        import docker

        try:
            with closing(
                docker.DockerClient(base_url=settings.docker_host or None, timeout=2)
            ) as client:
                version = str(client.version()["Version"])
        except (docker.errors.DockerException, OSError) as error:
            return Detection(available=False, reason=f"no Docker engine answers: {error}")
        return Detection(
            available=True,
            labels={"docker": ".".join(version.split(".")[:2])},
            reason=f"Docker {version}",
        )

    def prepare(self, step: PreparedStep, settings: Settings) -> Launch:
        """Return how to launch the step; see `StepType`."""
        _check(step, settings)
        network = _network(step, settings)
        # A process of its own, not a warm one: only a command's clean-up outlives the runner, and only a command's events are read.
        program = ("-u", "-m", "kaon.step.main", "kaon_runner.children.docker:run", "--whole")
        remover = ("-m", "kaon_runner.children.docker", settings.docker_host, name_of(step.scratch))
        return CommandLaunch(
            argv=(sys.executable, *program),
            env={
                "KAON_DOCKER_HOST": settings.docker_host,
                "KAON_DOCKER_LIMITS": json.dumps(_limits(step, settings)),
                "KAON_DOCKER_NETWORK": network,
                "KAON_RUNNER_ADDRESS": settings.runner_address,
            },
            cleanup=((sys.executable, *remover),),
            bounded=False,
        )


def _reach(host: str) -> None:
    """Raise OSError when no engine listens at the socket: the Docker client would leak its own."""
    path = (host or os.environ.get("DOCKER_HOST") or _DEFAULT_HOST).removeprefix("unix://")
    if path.startswith("/"):
        with socket.socket(socket.AF_UNIX) as trial:
            trial.settimeout(2)
            trial.connect(path)


def _limits(step: PreparedStep, settings: Settings) -> dict[str, float]:
    """Return the container's limits: its settings, else the step's need; 0: no limit."""
    return {
        "memory_bytes": step.config.get("memory_bytes") or step.resources.memory_bytes,
        "cpus": step.config.get("cpus") or step.resources.cpu_milli / 1000,
        "pids": step.config.get("pids") or settings.step_processes,
    }


def _check(step: PreparedStep, settings: Settings) -> None:
    config.only(step, _SETTINGS)
    config.text(step, "image")
    config.texts(step, "argv")
    config.text_map(step, "env")
    config.optional_text(step, "user")
    config.number(step, "memory_bytes", least=LEAST_MEMORY_BYTES)
    config.number(step, "cpus", least=0.01, whole=False)
    config.number(step, "pids", least=1)
    sidecar_config.check(step)
    config.number(step, "ready_ms", least=1)
    spec = step.spec
    for problem in container_problems(spec.config_json, spec.serves, spec.outputs):
        raise UserStepError("InvalidConfig", f"step {step.key.path}: {problem}")
    if step.config.get("pull", "missing") not in PULL_POLICIES:
        wanted = ", ".join(PULL_POLICIES)
        raise UserStepError(
            "InvalidConfig",
            f'step {step.key.path}: "pull" must be one of {wanted}, it is {step.config["pull"]!r}',
        )


def _network(step: PreparedStep, settings: Settings) -> str:
    """Return the step's network, by default the first one in which what it publishes can be reached, or none.

    Refuses one that the runner does not allow: that of the machine reaches what listens on its loopback alone.
    """
    wanted = config.optional_text(step, "network")
    allowed = {NO_NETWORK, *settings.docker_networks}
    if wanted and wanted not in allowed:
        raise UserStepError(
            "InvalidConfig",
            f'step {step.key.path}: "network" is {wanted!r}, this runner allows {", ".join(sorted(allowed))} '
            "(its setting KAON_DOCKER_NETWORKS)",
        )
    if not step.config.get("publish"):
        return wanted or NO_NETWORK
    unable = PORTLESS_NETWORKS
    if settings.runner_address == IN_NETWORK:
        unable += _NAMELESS_NETWORKS
    able = [name for name in settings.docker_networks if name not in unable]
    if wanted in unable or not able:
        raise UserStepError(
            "InvalidConfig",
            f"step {step.key.path}: what it publishes cannot be reached in {wanted or 'any network of this runner'}; of the "
            f"networks in its setting KAON_DOCKER_NETWORKS these would do: {', '.join(able) or 'none'} "
            f"(KAON_RUNNER_ADDRESS is {settings.runner_address})",
        )
    return wanted or able[0]


def name_of(scratch: str) -> str:
    """Return a unique name for the container of the execution with this scratch directory."""
    return f"kaon-step-{lease_id(scratch)[:20]}"
