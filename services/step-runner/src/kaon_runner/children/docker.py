"""Runs one container, with its sidecars, streams its output, and removes it in any case.

The program in the container follows the step protocol by itself: the runner reads its events pipe and takes
its outputs from the mounted directory. This process ends with the container's exit code.

As a program (`python -m kaon_runner.children.docker HOST NAME`) it removes the containers of a killed step.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import APIError, DockerException
from docker.types import Mount

from kaon.step import StepCancelled, StepContext
from kaon_runner.children import images, publishing, readiness
from kaon_runner.children.container_view import STEP_DIR, ContainerView
from kaon_runner.children.containers import limits, remove
from kaon_runner.children.faults import EngineError, OutOfMemory, PlatformFault
from kaon_runner.children.sidecars import Sidecars
from kaon_runner.steptypes.docker import name_of
from kaon_runner.steptypes.shell import as_text, filled, variables

# Label of all containers of one execution.
EXECUTION = "kaon.execution"
# Seconds from TERM to KILL of a container whose step is cancelled; the step's own grace is 3.
_STOP_SECONDS = 1


def run(context: StepContext) -> None:
    """Run the step's container to its end and exit with its code."""
    client = _client(os.environ.get("KAON_DOCKER_HOST", ""))
    name = name_of(context.scratch)
    bounds = json.loads(os.environ["KAON_DOCKER_LIMITS"])
    try:
        images.ensure(client, context, context.config["image"])
        common = _common(context, bounds)
        options, texts = _options(context)
        options |= common | limits(bounds)
        network = _network(context)
        with Sidecars(client, context, texts, common, network) as sidecars:
            container = client.containers.create(name=name, **sidecars.network, **options)
            try:
                code = _execute(client, context, container, sidecars.first or container)
            finally:
                remove(client, name)
    except APIError as error:
        raise EngineError(
            f"the Docker engine refused the container: {error.explanation}"
        ) from error
    except (DockerException, OSError) as error:
        raise PlatformFault(f"the Docker engine does not answer: {error}") from error
    finally:
        client.close()
    sys.exit(code)


def _common(context: StepContext, bounds: Mapping[str, float]) -> dict[str, Any]:
    """Return the options of every container of a step: none gains anything, or has more processes than the step may."""
    return {
        "init": True,
        "security_opt": ["no-new-privileges"],
        **limits({"pids": bounds["pids"]}),
        "labels": {
            "kaon.run": context.run_id,
            "kaon.step": context.step,
            EXECUTION: name_of(context.scratch),
        },
    }


def _client(host: str) -> docker.DockerClient:
    try:
        return docker.DockerClient(base_url=host or None)
    except (DockerException, OSError) as error:
        raise PlatformFault(f"no Docker engine answers: {error}") from error


def _options(context: StepContext) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Return the options that only the step's own container has, and the inputs as text."""
    config = context.config
    document = json.loads((context.directory / "context.json").read_text(encoding="utf-8"))
    view = ContainerView()
    translated = view.translate(document)
    (context.directory / "context.json").write_text(
        json.dumps(translated, ensure_ascii=False), encoding="utf-8"
    )
    texts = {name: as_text(value) for name, value in translated["inputs"].items()}
    given = {name: filled(text, texts, None) for name, text in (config.get("env") or {}).items()}
    mounts = [Mount(type="bind", source=str(context.directory), target=STEP_DIR)]
    mounts += [
        Mount(type="bind", source=str(path), target=target, read_only=True)
        for path, target in view.mounts
    ]
    options: dict[str, Any] = {
        "image": config["image"],
        "command": [filled(word, texts, None) for word in config.get("argv") or ()] or None,
        "environment": {"KAON_STEP_DIR": STEP_DIR, **variables(texts), **given},
        "mounts": mounts,
        "working_dir": f"{STEP_DIR}/work",
        "user": config.get("user") or f"{os.getuid()}:{os.getgid()}",
    }
    if context.serves:
        options["healthcheck"] = readiness.check(config["ready"])
    return options, texts


def _network(context: StepContext) -> dict[str, Any]:
    """Return the options of the container whose network all of the step share."""
    bound = publishing.ports(context.config.get("publish") or {}, os.environ["KAON_RUNNER_ADDRESS"])
    return {"network_mode": os.environ["KAON_DOCKER_NETWORK"], **bound}


def _execute(client: docker.DockerClient, context: StepContext, container: Any, first: Any) -> int:
    """Run a container to its end and return its exit code; `first` is the one whose network it is in."""
    # Attached before the start, so that no line is missed.
    output = _Output(container)
    try:
        if context.serves:
            with readiness.hearing(client, container) as heard:
                _start(container, output)
                _serve(context, container, first, heard)
        else:
            _start(container, output)
        output.finish()
        code = int(container.wait()["StatusCode"])
    except (StepCancelled, EngineError):
        container.stop(timeout=_STOP_SECONDS)
        # The output of one that has never been started has no end.
        output.join(_STOP_SECONDS)
        raise
    container.reload()
    if container.attrs["State"]["OOMKilled"]:
        limit = container.attrs["HostConfig"]["Memory"]
        raise OutOfMemory(
            f"the container was killed for using more memory than its limit of {limit} bytes"
        )
    return code


def _start(container: Any, output: _Output) -> None:
    output.start()
    container.start()


def _serve(context: StepContext, container: Any, first: Any, heard: Any) -> None:
    """Say that the step serves when the container is ready; nothing when it has ended before: its end is the step's."""
    context.progress(0.0, "waiting until it is ready")
    if readiness.wait("the container", container, heard, context.config.get("ready_ms")) is None:
        machine = os.environ["KAON_RUNNER_ADDRESS"]
        publish = context.config.get("publish") or {}
        context.serving(**publishing.addresses(publish, machine, first))


class _Output(threading.Thread):
    """Copies a container's output as it comes, also while the container is being stopped."""

    def __init__(self, container: Any) -> None:
        super().__init__(name="output", daemon=True)
        self._stream = container.attach(
            stream=True, stdout=True, stderr=True, demux=True, logs=False
        )
        self._error: Exception | None = None

    def run(self) -> None:
        """Copy until the container has ended."""
        try:
            _copy(self._stream)
        except Exception as error:
            self._error = error

    def finish(self) -> None:
        """Wait until the container has ended and all is copied, and raise what has kept it from that."""
        self.join()
        if self._error is not None:
            raise self._error


def _copy(stream: Any) -> None:
    for out, err in stream:
        for data, target in ((out, sys.stdout), (err, sys.stderr)):
            if data:
                target.buffer.write(data)
                target.buffer.flush()


def main() -> None:
    """Remove the containers of a killed step."""
    host, name = sys.argv[1:]
    client = _client(host)
    remove(client, name)
    for container in client.api.containers(all=True, filters={"label": f"{EXECUTION}={name}"}):
        remove(client, container["Id"])


if __name__ == "__main__":
    main()
