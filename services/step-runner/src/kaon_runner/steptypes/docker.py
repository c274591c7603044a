"""Docker steps: a container that follows the step protocol through a mounted directory."""

from __future__ import annotations

import hashlib
import sys

from kaon_runner.errors import UserStepError
from kaon_runner.steptypes import config
from kaon_runner.steptypes.base import Detection, Launch, PreparedStep, Settings, WorkerLaunch, WorkerSpec

PULL_POLICIES = ("missing", "always", "never")


class DockerStepType:
    """Config: {"image", "argv": [...], "env": {...}, "network", "memory_bytes", "cpus", "pids", "pull": "missing|always|never"}.

    The step's directory is mounted at /kaon/step, which KAON_STEP_DIR names in the container; artifact inputs are mounted
    read-only under /kaon/inputs. Every input is in the environment as KAON_INPUT_<NAME>.
    """

    name = "docker"

    def detect(self, settings: Settings) -> Detection:
        """Available when an engine answers."""
        import docker

        try:
            client = docker.DockerClient(base_url=settings.docker_host or None, timeout=2)
            version = str(client.version()["Version"])
            client.close()
        except (docker.errors.DockerException, OSError) as error:
            return Detection(available=False, reason=f"no Docker engine answers: {error}")
        return Detection(
            available=True, labels={"docker": ".".join(version.split(".")[:2])}, reason=f"Docker {version}"
        )

    def prepare(self, step: PreparedStep, settings: Settings) -> Launch:
        """See `StepType`."""
        config.text(step, "image")
        argv = step.config.get("argv", [])
        if not isinstance(argv, list) or not all(isinstance(word, str) for word in argv):
            raise UserStepError(
                "InvalidConfig", f'step {step.key.path}: "argv" must be a list of strings, it is {argv!r}'
            )
        if step.config.get("pull", "missing") not in PULL_POLICIES:
            raise UserStepError(
                "InvalidConfig", f'step {step.key.path}: "pull" must be one of {PULL_POLICIES}'
            )
        step.directory.create()
        step.directory.write_context(step.context)
        name = container_name(step)
        env = {"KAON_DOCKER_HOST": settings.docker_host} if settings.docker_host else {}
        return WorkerLaunch(
            worker=WorkerSpec(key="docker", python=sys.executable, env=env, preload=("docker",)),
            target="kaon_runner.children.docker:run",
            inputs_as_arguments=False,
            cleanup=((sys.executable, "-m", "kaon_runner.children.docker", settings.docker_host, name),),
        )


def container_name(step: PreparedStep) -> str:
    """A name for the lease's container that nothing else has."""
    return name_of(step.key.run_id, step.key.path, step.key.generation)


def name_of(run_id: str, path: str, generation: int) -> str:
    """A name for the lease's container that nothing else has."""
    lease = f"{run_id}/{path}/{generation}"
    return f"kaon-step-{hashlib.sha256(lease.encode()).hexdigest()[:20]}"
