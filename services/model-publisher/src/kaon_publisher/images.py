"""OCI images, written by our own code so that equal inputs have equal digests. Files of models are never held in memory.

Formats: OCI Image Format Specification 1.1 (manifest, configuration, layer) and Image Layout 1.0.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from kaon_artifacts import durable, opening
from kaon_artifacts.digesting import digest_of

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
# Layers are not compressed: their digest is then also their diff id, and independent of a compressor's
# version.
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MODEL_DIR = "kaon/model"
APP_PATH = "kaon/serve_app.py"
PORT = 8080
_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, kw_only=True)
class Blob:
    """Content with its digest; either in memory or a file."""

    digest: str
    size: int
    data: bytes = b""
    path: Path | None = None

    def open(self) -> IO[bytes]:
        """Return the content as a stream."""
        return self.path.open("rb") if self.path is not None else io.BytesIO(self.data)

    def read(self) -> bytes:
        """Return the content."""
        with self.open() as content:
            return content.read()


@dataclass(frozen=True, kw_only=True)
class Base:
    """The image under the model's layer: its layers, and the kept part of its configuration."""

    layers: Sequence[Blob] = ()
    architecture: str = "amd64"
    env: Sequence[str] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)


@dataclass(frozen=True, kw_only=True)
class Image:
    """An assembled image."""

    manifest: Blob
    config: Blob
    # The base's, then the model's.
    layers: Sequence[Blob]
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Return the digest of the manifest, which identifies the image."""
        return self.manifest.digest

    @property
    def blobs(self) -> Sequence[Blob]:
        """Return all blobs of the image."""
        return (*self.layers, self.config, self.manifest)


def blob_of(data: bytes) -> Blob:
    """Return a blob in memory."""
    return Blob(digest=f"sha256:{hashlib.sha256(data).hexdigest()}", size=len(data), data=data)


def assemble(
    *, model: Path, app: bytes, base: Base, labels: Mapping[str, str], scratch: Path
) -> Image:
    """Assemble the image that serves the model in directory `model` by the program `app`.

    Args:
        model: The model's files; times, owners and their order on disk do not matter.
        app: The serving program.
        base: The image underneath.
        labels: Stored in the configuration; they are part of the digest.
        scratch: A directory that stays while the image is used; the model's layer is written there.
    """
    layer = _layer(model, app, scratch / "layer.tar")
    layers = (*base.layers, layer)
    config = {
        "architecture": base.architecture,
        "os": "linux",
        "created": _EPOCH,
        "config": {
            "Env": list(base.env),
            "Entrypoint": ["python3", f"/{APP_PATH}"],
            "WorkingDir": f"/{MODEL_DIR}",
            "ExposedPorts": {f"{PORT}/tcp": {}},
            "User": "65534:65534",
            "Labels": dict(sorted(labels.items())),
        },
        "rootfs": {"type": "layers", "diff_ids": [each.digest for each in layers]},
        "history": [{"created": _EPOCH, "created_by": "kaon"} for _ in layers],
    }
    config_blob = blob_of(_json(config))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor(CONFIG_TYPE, config_blob),
        "layers": [_descriptor(LAYER_TYPE, each) for each in layers],
    }
    return Image(
        manifest=blob_of(_json(manifest)), config=config_blob, layers=layers, labels=labels
    )


def write_layout(image: Image, directory: Path) -> None:
    """Write an OCI image layout to disk; existing complete blobs are kept."""
    blobs = directory / "blobs" / "sha256"
    durable.make_directory(blobs)
    for blob in image.blobs:
        target = blobs / blob.digest.removeprefix("sha256:")
        if not (target.exists() and target.stat().st_size == blob.size):
            with blob.open() as content:
                durable.write(content, target)
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [_descriptor(MANIFEST_TYPE, image.manifest)],
    }
    durable.write(io.BytesIO(_json({"imageLayoutVersion": "1.0.0"})), directory / "oci-layout")
    # Last: a reader that finds it finds everything.
    durable.write(io.BytesIO(_json(index)), directory / "index.json")


def write_docker_archive(image: Image, name: str, target: IO[bytes]) -> None:
    """Write the image in the form that `docker load` takes, without the layers of the base."""
    hexes = [blob.digest.removeprefix("sha256:") for blob in image.layers]
    config = image.config.digest.removeprefix("sha256:")
    manifest = [
        {
            "Config": f"{config}.json",
            "RepoTags": [name],
            "Layers": [f"{each}/layer.tar" for each in hexes],
        }
    ]
    with tarfile.open(fileobj=target, mode="w") as tar:
        _add(tar, f"{config}.json", image.config.read())
        with image.layers[-1].open() as layer:
            _copy(tar, f"{hexes[-1]}/layer.tar", layer, image.layers[-1].size)
        _add(tar, "manifest.json", _json(manifest))


def _layer(model: Path, app: bytes, target: Path) -> Blob:
    with tarfile.open(target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add_directory(tar, "kaon")
        _add_directory(tar, MODEL_DIR)
        for path in sorted(model.rglob("*"), key=lambda each: each.relative_to(model).parts):
            name = f"{MODEL_DIR}/{path.relative_to(model).as_posix()}"
            if path.is_symlink():
                _add_link(tar, name, os.readlink(path))
            elif path.is_dir():
                _add_directory(tar, name)
            else:
                with opening.file(path) as content:
                    _copy(tar, name, content, os.fstat(content.fileno()).st_size)
        _add(tar, APP_PATH, app)
    return Blob(digest=digest_of(target), size=target.stat().st_size, path=target)


def _add_directory(tar: tarfile.TarFile, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    tar.addfile(entry)


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    """Add a link that stays inside the model: the artifact contains no others."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname = tarfile.SYMTYPE, 0o777, target
    tar.addfile(entry)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    _copy(tar, name, io.BytesIO(data), len(data))


def _copy(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    tar.addfile(entry, content)


def _descriptor(media_type: str, blob: Blob) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
