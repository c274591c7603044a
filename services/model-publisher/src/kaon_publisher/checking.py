"""The operations that need a Docker engine: the base's layers, and checks of images by a prediction."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import docker
import structlog
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from kaon_artifacts import Unreadable, opening
from kaon_artifacts.durable import move
from kaon_publisher.errors import EngineUnavailable, ModelRejected
from kaon_publisher.images import APP_PATH, Base, Blob, Image, write_docker_archive
from kaon_publisher.model import Probe, difference

log = structlog.get_logger(__name__)

START_SECONDS = 20.0
MEMORY = "512m"
# A check's container carries its expiry, so that the next check removes the leftovers of a killed publisher.
CHECK_SECONDS = 300
_MANIFEST_BYTES = 1 << 20
# An engine itself allows at most 127.
_MOST_LAYERS = 1000
EXPIRY_LABEL = "kaon.check.expires"


class Engine:
    """A Docker engine.

    Args:
        host: Its address; empty for the default.
        cache: The directory of the base's layers.
    """

    def __init__(self, host: str, cache: Path) -> None:
        self._cache = cache
        try:
            self._client = docker.DockerClient(base_url=host or None, timeout=60)
            self._client.ping()
        except (DockerException, OSError) as error:
            raise EngineUnavailable(
                f"no Docker engine answers at {host or 'its usual place'}: {error}"
            ) from error

    def base(self, image: str) -> Base:
        """Return the layers and the configuration of an image of the engine.

        Raises:
            EngineUnavailable: The engine does not have it.
        """
        try:
            found = self._client.images.get(image)
        except ImageNotFound as error:
            raise EngineUnavailable(
                f"the engine has no image {image}, which KAON_SERVING_BASE names"
            ) from error
        diff_ids: list[str] = found.attrs["RootFS"]["Layers"]
        if not all(self._layer_path(each).exists() for each in diff_ids):
            self._export(found)
        layers = [
            Blob(
                digest=each, size=self._layer_path(each).stat().st_size, path=self._layer_path(each)
            )
            for each in diff_ids
        ]
        env = found.attrs["Config"].get("Env") or Base.env
        return Base(layers=layers, architecture=found.attrs["Architecture"], env=env)

    def check(self, image: Image, probe: Probe) -> str:
        """Load the image, run it without network, send the probe and compare the answer. Return how it was checked.

        Raises:
            ModelRejected: The server does not start, does not answer, or answers differently.
            EngineUnavailable: The engine fails.
        """
        name = f"kaon-check-{uuid.uuid4().hex[:12]}"
        # A tag of its own: removing it does not affect other checks of the same image.
        tag = f"kaon/model-check:{name}"
        began = time.monotonic()
        try:
            self._remove_expired()
            with tempfile.TemporaryFile(prefix="kaon-check-") as archive:
                write_docker_archive(image, tag, archive)
                archive.seek(0)
                self._client.images.load(archive)
            container = self._client.containers.run(
                tag,
                name=name,
                detach=True,
                labels={EXPIRY_LABEL: str(int(time.time()) + CHECK_SECONDS)},
                network_mode="none",
                mem_limit=MEMORY,
                memswap_limit=MEMORY,
                pids_limit=64,
                read_only=True,
                cap_drop=["ALL"],
            )
            answer = self._ask(container, probe)
        except APIError as error:
            raise EngineUnavailable(
                f"the Docker engine refused the image: {error.explanation}"
            ) from error
        except (DockerException, OSError) as error:
            raise EngineUnavailable(f"the Docker engine does not answer: {error}") from error
        finally:
            self._remove(name)
            self._untag(tag)
        if found := difference(probe.expected, answer, probe.tolerance):
            raise ModelRejected(f"the model's image answers its probe differently: {found}")
        return f"run in a container and asked its probe in {time.monotonic() - began:.1f} s; the answer was as expected"

    def _ask(self, container: Any, probe: Probe) -> Any:
        """Send the probe from inside the container, which has no network."""
        self._await_serving(container)
        request = json.dumps(probe.request)
        script = f'printf %s "$PROBE" | python3 /{APP_PATH} ask'
        code, output = container.exec_run(["sh", "-c", script], environment={"PROBE": request})
        text = output.decode(errors="replace")
        if code:
            raise ModelRejected(f"the model did not answer its probe: {text[-800:]}")
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelRejected(f"the model's answer is not JSON: {text[:200]!r}") from error

    def _await_serving(self, container: Any) -> None:
        deadline = time.monotonic() + START_SECONDS
        while b"serving" not in container.logs():
            container.reload()
            if container.status == "exited":
                raise ModelRejected(
                    f"the model's image ended at once: {container.logs().decode(errors='replace')[-800:]}"
                )
            if time.monotonic() > deadline:
                raise ModelRejected(f"the model's image does not serve after {START_SECONDS:g} s")
            time.sleep(0.05)

    def _remove(self, name: str) -> None:
        try:
            self._client.api.remove_container(name, force=True, v=True)
        except NotFound:
            return
        except (DockerException, OSError) as error:
            log.warning("container not removed", name=name, reason=str(error))

    def _untag(self, tag: str) -> None:
        try:
            self._client.images.remove(tag)
        except NotFound:
            return
        except (DockerException, OSError) as error:
            log.warning("checked image not removed", tag=tag, reason=str(error))

    def _remove_expired(self) -> None:
        for found in self._client.api.containers(all=True, filters={"label": EXPIRY_LABEL}):
            if int(found["Labels"][EXPIRY_LABEL]) < time.time():
                name = found["Names"][0].removeprefix("/")
                self._remove(name)
                self._untag(found["Image"])

    def _layer_path(self, diff_id: str) -> Path:
        return self._cache / diff_id.removeprefix("sha256:")

    def _export(self, image: Any) -> None:
        """Write the layers of an image to the cache, each under its digest."""
        self._cache.mkdir(parents=True, exist_ok=True)
        whole = self._cache / f".export-{uuid.uuid4().hex}"
        try:
            with whole.open("wb") as target:
                for chunk in image.save():
                    target.write(chunk)
            with tarfile.open(whole, mode="r:") as tar:
                for layer in exported_layers(tar):
                    self._keep(layer)
        except (tarfile.TarError, ValueError) as error:
            raise EngineUnavailable(
                f"what the engine exports of image {image.id} is no image: {error}"
            ) from error
        finally:
            whole.unlink(missing_ok=True)

    def _keep(self, content: IO[bytes]) -> None:
        """Sync a layer to disk before its name appears."""
        partial = self._cache / f".layer-{uuid.uuid4().hex}"
        hasher = hashlib.sha256()
        try:
            with partial.open("wb") as target:
                while chunk := content.read(1 << 20):
                    hasher.update(chunk)
                    target.write(chunk)
                target.flush()
                os.fsync(target.fileno())
            move(partial, self._cache / hasher.hexdigest())
        finally:
            partial.unlink(missing_ok=True)


def exported_layers(tar: tarfile.TarFile) -> Iterator[IO[bytes]]:
    """Return the layers of an image in an engine's export.

    Raises:
        EngineUnavailable: The export is malformed.
    """
    try:
        manifest = json.loads(
            opening.bounded(_member(tar, "manifest.json"), _MANIFEST_BYTES, "manifest.json")
        )
        names: list[str] = manifest[0]["Layers"]
    except (ValueError, TypeError, LookupError, RecursionError, Unreadable) as error:
        raise EngineUnavailable(
            f"the manifest of an exported image cannot be read: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(names, list) or len(names) > _MOST_LAYERS:
        raise EngineUnavailable(f"an exported image names no list of at most {_MOST_LAYERS} layers")
    for name in names:
        yield _member(tar, name)


def _member(tar: tarfile.TarFile, name: object) -> IO[bytes]:
    try:
        # An engine may export a repeated layer of an image as a link to the first.
        content = tar.extractfile(name) if isinstance(name, str) else None
    except (KeyError, RecursionError) as error:
        raise EngineUnavailable(f"an exported image lacks {name}") from error
    if content is None:
        raise EngineUnavailable(f"an exported image has {str(name)[:200]!r}, which is not a file")
    return content
