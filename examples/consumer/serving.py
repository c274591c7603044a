"""Brings an announced model into service on this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any, Protocol

import docker
from docker.errors import DockerException

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


def serve(version: model_pb2.ModelVersion, state: Path) -> Served:
    """Brings a version into service: by its image, or from an OCI layout in this process.

    Raises:
        ServingError: it cannot be.
    """
    reference = version.image_reference
    if reference.startswith("oci:"):
        directory = Path(reference.removeprefix("oci:").rpartition("@")[0])
        return _InProcess(unpack(directory, version.image_digest, state))
    return _Container(reference)


class _Container:
    """The image, run by the Docker engine of this machine."""

    def __init__(self, reference: str) -> None:
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
        found: dict[str, Any] = self._model.predict(request)
        return found

    def close(self) -> None:
        """See `Served`."""


def unpack(layout: Path, digest: str, state: Path) -> Path:
    """The model's directory from an OCI layout. Every digest on the way is verified.

    Raises:
        ServingError: something is missing or has another digest.
    """
    manifest = json.loads(_blob(layout, digest))
    target = state / digest.removeprefix("sha256:")
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(_blob(layout, manifest["layers"][-1]["digest"]))) as tar:
        tar.extractall(partial, filter="data")
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return target / "kaon" / "model"


def _blob(layout: Path, digest: str) -> bytes:
    path = layout / "blobs" / "sha256" / digest.removeprefix("sha256:")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ServingError(f"the layout {layout} lacks {digest}") from error
    found = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if found != digest:
        raise ServingError(f"{path} has digest {found}, not {digest}")
    return data
