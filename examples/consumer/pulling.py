"""Fetches an announced image by its digest. Every digest on the way is verified, so it does not matter who hands the bytes over."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import ssl
import tarfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
SECONDS = 60.0
# An image that needs more is none of ours; a part of it is held in memory.
MOST_BYTES = 4 << 30
MOST_ENTRIES = 100_000
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


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
        with (self._directory / "blobs" / "sha256" / digest.removeprefix("sha256:")).open(
            "rb"
        ) as content:
            return _read(content)


class Registry:
    """A registry of images.

    KAON_REGISTRY_CA names a file with the authorities of its certificate ("system": those of this machine); without it there is no
    TLS. KAON_REGISTRY_USER and KAON_REGISTRY_PASSWORD_FILE name an account that may pull.

    Args:
        address: host:port.
        repository: the image's name without the registry.
    """

    def __init__(self, address: str, repository: str) -> None:
        ca, user = os.environ.get("KAON_REGISTRY_CA", ""), os.environ.get("KAON_REGISTRY_USER", "")
        if user and not ca:
            raise PullError("a password travels over TLS only: set KAON_REGISTRY_CA, too")
        self._base = f"{'https' if ca else 'http'}://{address}/v2/{repository}"
        self._headers = {"Accept": MANIFEST_TYPE}
        handlers: list[urllib.request.BaseHandler] = []
        if ca:
            context = ssl.create_default_context(cafile=None if ca == "system" else ca)
            handlers.append(urllib.request.HTTPSHandler(context=context))
        if user:
            password = Path(os.environ["KAON_REGISTRY_PASSWORD_FILE"]).read_text().strip()
            shown = base64.b64encode(f"{user}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {shown}"
        self._opener = urllib.request.build_opener(*handlers)

    def manifest(self, digest: str) -> bytes:
        """See `Source`."""
        return self._get(f"manifests/{digest}")

    def blob(self, digest: str) -> bytes:
        """See `Source`."""
        return self._get(f"blobs/{digest}")

    def _get(self, path: str) -> bytes:
        request = urllib.request.Request(f"{self._base}/{path}", headers=self._headers)
        with self._opener.open(request, timeout=SECONDS) as answer:
            return _read(answer)


def unpack(source: Source, digest: str, state: Path) -> Path:
    """The model's directory, from the last layer of the image with this digest; one that is there already is used again.

    Raises:
        PullError: something is missing, has another digest, or is larger than it may be; or the layer holds something other than
            files, directories, and links that stay inside.
    """
    target = state / _digest(digest).removeprefix("sha256:")
    model = target / "kaon" / "model"
    if not model.is_dir():
        state.mkdir(parents=True, exist_ok=True)
        # Nobody else unpacks the same image meanwhile, and what a consumer that died has left of it goes.
        with target.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not model.is_dir():
                _unpack(source, digest, target)
    return model


def _unpack(source: Source, digest: str, target: Path) -> None:
    try:
        layer = _layer_of(_verified(source.manifest(digest), digest))
        data = _verified(source.blob(_digest(layer)), layer)
    except OSError as error:
        raise PullError(f"image {digest} cannot be fetched: {error}") from error
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            _extract(tar, partial)
    except (
        tarfile.TarError,
        ValueError,
        OverflowError,
        FileExistsError,
        NotADirectoryError,
    ) as error:
        raise PullError(f"the image's layer {layer} cannot be unpacked: {error}") from error
    for directory, _, _ in os.walk(partial):
        _sync(directory)
    partial.rename(target)
    _sync(target.parent)


def _sync(path: str | Path) -> None:
    """Brings the names in a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _layer_of(manifest: bytes) -> str:
    """The digest of the last layer that a manifest names."""
    try:
        return str(json.loads(manifest)["layers"][-1]["digest"])
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise PullError(
            f"the image's manifest cannot be read: {type(error).__name__}: {error}"
        ) from error


def _extract(tar: tarfile.TarFile, directory: Path) -> None:
    """Links come last, so that nothing is written through one."""
    directory.mkdir(parents=True)
    links: dict[PurePosixPath, str] = {}
    size = 0
    for number, entry in enumerate(tar, start=1):
        size += entry.size
        if number > MOST_ENTRIES or size > MOST_BYTES:
            raise PullError(f"the image has more than {MOST_ENTRIES} entries or {MOST_BYTES} bytes")
        place = _place(entry)
        if entry.issym():
            links[place] = entry.linkname
        elif entry.isdir():
            (directory / place).mkdir(parents=True, exist_ok=True)
        else:
            (directory / place).parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(entry)
            assert content is not None
            with (directory / place).open("xb") as target:
                shutil.copyfileobj(content, target)
                target.flush()
                os.fsync(target.fileno())
    _link(directory.resolve(), links)


def _place(entry: tarfile.TarInfo) -> PurePosixPath:
    place = PurePosixPath(entry.name)
    plain = entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE)
    if place.is_absolute() or ".." in place.parts or not plain or entry.issparse():
        raise PullError(
            f"the image has {entry.name}, which is no file, directory or link inside of it"
        )
    return place


def _link(root: Path, links: Mapping[PurePosixPath, str]) -> None:
    """Makes links, which may lead to files and directories of the image only."""
    for place, told in links.items():
        if PurePosixPath(told).is_absolute() or any(parent in links for parent in place.parents):
            raise PullError(
                f"the image has the link {place} to {told}, which leads out or lies behind another"
            )
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).symlink_to(told)
    for place, told in links.items():
        try:
            inside = (root / place).resolve(strict=True).is_relative_to(root)
        except (OSError, RuntimeError):
            inside = False
        if not inside:
            raise PullError(
                f"the image has the link {place} to {told}, which leads to nothing inside of it"
            )


def _read(content: IO[bytes]) -> bytes:
    data = content.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise PullError(f"a part of the image has more than {MOST_BYTES} bytes")
    return data


def _digest(told: str) -> str:
    """`told`, of which nothing becomes a path that is no digest."""
    if not _DIGEST.fullmatch(told):
        raise PullError(f"{told[:80]!r} is not a digest of the form sha256:<64 hex digits>")
    return told


def _verified(data: bytes, digest: str) -> bytes:
    found = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if found != digest:
        raise PullError(f"what was fetched has digest {found}, not {digest}")
    return data
