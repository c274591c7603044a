"""Brings an announced model into service on this machine."""

from __future__ import annotations

import importlib.util
import json
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any, Protocol

from pulling import Layout, PullError, Registry, unpack

from kaonapi.model.v1 import model_pb2

PORT = "8080/tcp"
START_SECONDS = 30.0


class ServingError(Exception):
    """The model cannot be brought into service; the text says why."""


class Served(Protocol):
    """A model in service."""

    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        """The model's answer."""

    def close(self) -> None:
        """Takes it out of service."""


def serve(version: model_pb2.ModelVersion, state: Path, registry: str = "") -> Served:
    """Brings a version into service: by running its image, or in this process.

    Args:
        version: as announced.
        state: directory for unpacked models.
        registry: host:port of the registry that has the image; the model is then fetched from there and served in this process.
            Empty: the Docker engine of this machine fetches and runs the image.

    Raises:
        ServingError: it cannot be.
    """
    name = version.image_reference.rpartition("@")[0]
    try:
        if name.startswith("oci:"):
            return _InProcess(
                unpack(Layout(Path(name.removeprefix("oci:"))), version.image_digest, state)
            )
        if registry:
            source = Registry(registry, name.partition("/")[2])
            return _InProcess(unpack(source, version.image_digest, state))
    except PullError as error:
        raise ServingError(str(error)) from error
    return _Container(version.image_reference)


class _Container:
    """The image, run by the Docker engine of this machine."""

    def __init__(self, reference: str) -> None:
        import docker
        from docker.errors import DockerException

        self._name = f"kaon-consumer-{uuid.uuid4().hex[:12]}"
        try:
            self._client = docker.DockerClient.from_env()
            self._client.api.pull(reference)
            container = self._client.containers.run(
                reference,
                name=self._name,
                detach=True,
                ports={PORT: ("127.0.0.1", None)},
                mem_limit="512m",
                read_only=True,
            )
        except DockerException as error:
            self.close()
            raise ServingError(f"{reference} cannot be run: {error}") from error
        try:
            self._await_health(container)
        except BaseException:
            self.close()
            raise

    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        """See `Served`."""
        try:
            with urllib.request.urlopen(
                f"{self._url}/predict", data=json.dumps(request).encode(), timeout=30
            ) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise ServingError(
                f"the model refuses the request: {error.read().decode(errors='replace')}"
            ) from error

    def close(self) -> None:
        """See `Served`."""
        import docker

        client = getattr(self, "_client", None)
        if client is not None:
            try:
                client.api.remove_container(self._name, force=True, v=True)
            except docker.errors.NotFound:
                pass
            client.close()

    def _await_health(self, container: Any) -> None:
        container.reload()
        self._url = f"http://127.0.0.1:{container.ports[PORT][0]['HostPort']}"
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self._url}/health", timeout=2):
                    return
            except OSError as error:
                container.reload()
                if container.status == "exited" or time.monotonic() > deadline:
                    raise ServingError(
                        f"the model does not serve: {container.logs().decode(errors='replace')[-500:]}"
                    ) from error
                time.sleep(0.05)


class _InProcess:
    """The model's own code, loaded into this process."""

    def __init__(self, directory: Path) -> None:
        metadata = json.loads((directory / "kaon-model.json").read_text(encoding="utf-8"))
        module, _, name = metadata["entry"].partition(":")
        spec = importlib.util.spec_from_file_location(
            f"model_{directory.name[:12]}", directory / f"{module}.py"
        )
        if spec is None or spec.loader is None:
            raise ServingError(f"the model has no {module}.py")
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        self._model = getattr(loaded, name)(str(directory))

    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        """See `Served`."""
        try:
            found: dict[str, Any] = self._model.predict(request)
        except (KeyError, ValueError, TypeError) as error:
            raise ServingError(f"the model refuses the request: {error!r}") from error
        return found

    def close(self) -> None:
        """See `Served`."""
