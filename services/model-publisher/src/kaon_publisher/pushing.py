"""Pushes images to their consumers' place: a registry, or a directory."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Protocol

import oras.provider
import requests

from kaon_publisher.errors import RegistryUnavailable
from kaon_publisher.images import MANIFEST_TYPE, Blob, Image, write_layout
from kaon_publisher.registry_access import OPEN, RegistryAccess

DELETE_SECONDS = 30.0


class Target(Protocol):
    """A place of images."""

    def push(self, image: Image, repository: str) -> str:
        """Push the image and return its reference, which ends in its digest. Idempotent.

        Raises:
            RegistryUnavailable: The push failed.
        """

    def delete(self, repository: str, digest: str) -> None:
        """Delete an image; a missing one is no error.

        Raises:
            RegistryUnavailable: The deletion failed.
        """


class LayoutTarget:
    """OCI layouts, one directory per image."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def push(self, image: Image, repository: str) -> str:
        """Write the layout; see `Target`."""
        target = self._directory / repository / image.digest.removeprefix("sha256:")
        write_layout(image, target)
        return f"oci:{target}@{image.digest}"

    def delete(self, repository: str, digest: str) -> None:
        """Delete the layout; see `Target`."""
        shutil.rmtree(
            self._directory / repository / digest.removeprefix("sha256:"), ignore_errors=True
        )


class RegistryTarget:
    """An image registry with the API of the OCI Distribution Specification.

    Args:
        public: host:port for consumers, which references contain.
        internal: host:port for this process; empty: the same.
        access: How to connect to it.
    """

    def __init__(self, public: str, internal: str = "", access: RegistryAccess = OPEN) -> None:
        self._public = public
        self._access = access
        self._address = internal or public

    def push(self, image: Image, repository: str) -> str:
        """Push the image; see `Target`."""
        registry = self._registry()
        container = registry.get_container(
            f"{self._address}/{repository}:{image.digest.removeprefix('sha256:')[:20]}"
        )
        try:
            with tempfile.TemporaryDirectory(prefix="kaon-push-") as scratch:
                for blob in (*image.layers, image.config):
                    path = _as_file(blob, Path(scratch))
                    descriptor = {"digest": blob.digest, "size": blob.size}
                    answer = registry.upload_blob(str(path), container, descriptor)
                    _check(answer, f"blob {blob.digest}")
            url = f"{registry.prefix}://{self._address}/v2/{repository}/manifests/{image.digest}"
            # Our own bytes, not the library's: the digest must be ours.
            answer = registry.do_request(
                url, "PUT", data=image.manifest.data, headers={"Content-Type": MANIFEST_TYPE}
            )
            _check(answer, f"manifest {image.digest}")
        except (requests.RequestException, ValueError) as error:
            raise RegistryUnavailable(
                f"the registry {self._address} does not answer: {error}"
            ) from error
        stored = answer.headers.get("Docker-Content-Digest", image.digest)
        if stored != image.digest:
            raise RegistryUnavailable(f"the registry stored {stored}, not {image.digest}")
        return f"{self._public}/{repository}@{image.digest}"

    def _registry(self) -> oras.provider.Registry:
        access = self._access
        registry = oras.provider.Registry(
            hostname=self._address,
            insecure=access.scheme == "http",
            tls_verify=access.verify,
            auth_backend="basic" if access.basic else "token",
        )
        if access.basic is not None:
            registry.auth.set_basic_auth(*access.basic)
            # With each request: the library shows it when a request was refused, but a registry that refuses a large upload closes
            # the connection before it has read it.
            registry.session.auth = access.basic
        return registry

    def delete(self, repository: str, digest: str) -> None:
        """Delete the image; see `Target`. The registry's own garbage collection frees the space."""
        access = self._access
        url = f"{access.scheme}://{self._address}/v2/{repository}/manifests/{digest}"
        try:
            answer = requests.delete(
                url, timeout=DELETE_SECONDS, verify=access.verify, auth=access.basic
            )
        except requests.RequestException as error:
            raise RegistryUnavailable(
                f"the registry {self._address} does not answer: {error}"
            ) from error
        if answer.status_code != 404:
            _check(answer, f"to delete {digest}")


def _as_file(blob: Blob, scratch: Path) -> Path:
    if blob.path is not None:
        return blob.path
    path = scratch / blob.digest.removeprefix("sha256:")
    path.write_bytes(blob.data)
    return path


def _check(answer: requests.Response, what: str) -> None:
    if answer.status_code not in {200, 201, 202}:
        raise RegistryUnavailable(
            f"the registry refused {what}: {answer.status_code} {answer.text[:300]}"
        )
