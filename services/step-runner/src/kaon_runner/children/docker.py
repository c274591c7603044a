"""Runs one container, streams what it prints, and removes it whatever happens.

As a program (`python -m kaon_runner.children.docker HOST NAME`) it removes the container of a step that was killed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from kaon.step import Artifact, StepContext
from kaon_runner.children.faults import EngineError, PlatformFault
from kaon_runner.steptypes.docker import name_of
from kaon_runner.steptypes.shell import as_text

STEP_DIR = "/kaon/step"
INPUTS_DIR = "/kaon/inputs"


def run(context: StepContext) -> None:
    """Runs the step's container to its end."""
    client = _client(os.environ.get("KAON_DOCKER_HOST", ""))
    name = name_of(context.run_id, context.step, context.generation)
    try:
        _ensure_image(client, context)
        remove(client, name)
        container = client.containers.create(name=name, **_options(context))
        try:
            _execute(context, container)
        finally:
            remove(client, name)
    except APIError as error:
        raise EngineError(f"the Docker engine refused the container: {error.explanation}") from error
    except (DockerException, OSError) as error:
        raise PlatformFault(f"the Docker engine does not answer: {error}") from error


def remove(client: docker.DockerClient, name: str) -> None:
    """Kills and removes a container; nothing happens when there is none."""
    try:
        client.api.remove_container(name, force=True, v=True)
    except NotFound:
        pass
    except APIError as error:
        # Somebody else is removing it.
        if error.status_code != 409:
            raise


def _client(host: str) -> docker.DockerClient:
    try:
        return docker.DockerClient(base_url=host or None)
    except (DockerException, OSError) as error:
        raise PlatformFault(f"no Docker engine answers: {error}") from error


def _ensure_image(client: docker.DockerClient, context: StepContext) -> None:
    image, policy = context.config["image"], context.config.get("pull", "missing")
    try:
        if policy != "always":
            client.images.get(image)
            return
    except ImageNotFound:
        if policy == "never":
            raise EngineError(f'image {image} is not on this machine, and "pull" is "never"') from None
    context.progress(0.0, f"pulling {image}")
    try:
        client.images.pull(image)
    except APIError as error:
        raise EngineError(f"image {image} cannot be pulled: {error.explanation}") from error


def _options(context: StepContext) -> dict[str, Any]:
    config = context.config
    mounts = {str(context.directory): {"bind": STEP_DIR, "mode": "rw"}}
    env = {"KAON_STEP_DIR": STEP_DIR, **config.get("env", {})}
    for name, value in context.inputs.items():
        text = as_text(value) if not isinstance(value, Artifact) else value.uri
        if isinstance(value, Artifact) and value.path is not None:
            text = f"{INPUTS_DIR}/{name}"
            mounts[str(Path(value.path).resolve())] = {"bind": text, "mode": "ro"}
        env[f"KAON_INPUT_{name.upper().replace('-', '_')}"] = text
    options: dict[str, Any] = {
        "image": config["image"],
        "command": config.get("argv") or None,
        "environment": env,
        "volumes": mounts,
        "working_dir": f"{STEP_DIR}/work",
        "network_mode": config.get("network", "none"),
        "init": True,
        "labels": {"kaon.run": context.run_id, "kaon.step": context.step},
    }
    if config.get("memory_bytes"):
        options |= {"mem_limit": config["memory_bytes"], "memswap_limit": config["memory_bytes"]}
    if config.get("cpus"):
        options["nano_cpus"] = int(float(config["cpus"]) * 1e9)
    if config.get("pids"):
        options["pids_limit"] = config["pids"]
    return options


def _execute(context: StepContext, container: Any) -> None:
    # Attached before the start, so that no line is missed.
    stream = container.attach(stream=True, stdout=True, stderr=True, demux=True, logs=False)
    container.start()
    for out, err in stream:
        for data, target in ((out, sys.stdout), (err, sys.stderr)):
            if data:
                target.buffer.write(data)
                target.buffer.flush()
    code = container.wait()["StatusCode"]
    container.reload()
    if container.attrs["State"]["OOMKilled"]:
        limit = context.config.get("memory_bytes")
        raise EngineError(
            f"the container was killed for using more memory than its limit of {limit} bytes (OOM)"
        )
    if code:
        raise EngineError(f"the container ended with exit code {code}")


def main() -> None:
    """Removes a container after its step was killed."""
    host, name = sys.argv[1:]
    remove(_client(host), name)


if __name__ == "__main__":
    main()
