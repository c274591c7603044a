"""Fetches an announced image by its digest. Every digest on the way is verified, so it does not matter who hands the bytes over."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import urllib.request
from pathlib import Path, PurePosixPath
from typing import Protocol

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
SECONDS = 60.0


class PullError(Exception):
    """The image cannot be had; the text says why."""


class Source(Protocol):
    """Where the blobs of an image are."""

    def manifest(self, digest: str) -> bytes:
        """The manifest. Raises OSError when it cannot be read."""

    def blob(self, digest: str) -> bytes:
        """A configuration or a layer. Raises OSError when it cannot be read."""


class Layout:
    """An OCI layout: a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def manifest(self, digest: str) -> bytes:
        """See `Source`."""
        return self.blob(digest)

    def blob(self, digest: str) -> bytes:
        """See `Source`."""
        return (self._directory / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()


class Registry:
    """A registry of images that asks for no password.

    Args:
        address: host:port.
        repository: the image's name without the registry.
    """

    def __init__(self, address: str, repository: str) -> None:
        self._base = f"http://{address}/v2/{repository}"

    def manifest(self, digest: str) -> bytes:
        """See `Source`."""
        return self._get(f"manifests/{digest}")

    def blob(self, digest: str) -> bytes:
        """See `Source`."""
        return self._get(f"blobs/{digest}")

    def _get(self, path: str) -> bytes:
        request = urllib.request.Request(f"{self._base}/{path}", headers={"Accept": MANIFEST_TYPE})
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            data: bytes = answer.read()
            return data


def unpack(source: Source, digest: str, state: Path) -> Path:
    """The model's directory, from the last layer of the image with this digest; one that is there already is used again.

    Raises:
        PullError: something is missing or has another digest.
    """
    target = state / digest.removeprefix("sha256:")
    model = target / "kaon" / "model"
    if model.is_dir():
        return model
    try:
        manifest = json.loads(_verified(source.manifest(digest), digest))
        layer = manifest["layers"][-1]["digest"]
        data = _verified(source.blob(layer), layer)
    except OSError as error:
        raise PullError(f"image {digest} cannot be fetched: {error}") from error
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for entry in tar:
            _extract(tar, entry, partial)
    partial.rename(target)
    return model


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, directory: Path) -> None:
    name = PurePosixPath(entry.name)
    if name.is_absolute() or ".." in name.parts or not (entry.isfile() or entry.isdir()):
        raise PullError(f"the image has {entry.name}, which is not a file or a directory inside of it")
    target = directory / name
    if entry.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(entry)
    assert content is not None
    target.write_bytes(content.read())


def _verified(data: bytes, digest: str) -> bytes:
    found = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if found != digest:
        raise PullError(f"what was fetched has digest {found}, not {digest}")
    return data
