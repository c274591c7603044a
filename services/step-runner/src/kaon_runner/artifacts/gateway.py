"""The gateway to the artifact store: local copies of inputs, unpacked code bundles, uploads of outputs."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kaon_artifacts import Artifact, ArtifactError, ArtifactStore, Unreadable, checked_name
from kaon_artifacts.archive import unpack_zip
from kaon_artifacts.artifact import DIRECTORY
from kaon_artifacts.durable import move
from kaon_runner.artifacts.copies import LocalCopies
from kaon_runner.errors import PlatformStepError, UserStepError
from kaon_runner.settings import Settings


class ArtifactGateway:
    """The gateway to the artifact store. Thread-safe.

    Args:
        settings: `artifacts` names the store, `cache_directory` the place of copies.
    """

    def __init__(self, settings: Settings) -> None:
        self._store = ArtifactStore(settings.artifacts or (settings.work / "artifacts").as_uri())
        self._cache = settings.cache_directory
        self._copies = LocalCopies(self._cache)
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._bundles: dict[str, Path] = {}

    def fetch(self, reference: Mapping[str, Any]) -> Path | None:
        """Fetch an artifact; see `Artifacts`.

        Users can write references, so only the digest determines the address.
        """
        try:
            name = checked_name(reference.get("name", ""))
        except ArtifactError as error:
            raise UserStepError(
                "InvalidArtifact", f"an input is an artifact whose name {error}"
            ) from error
        digest = reference.get("digest") or ""
        if digest == "":
            return None
        artifact = replace(self._artifact_of(digest, reference.get("media_type")), name=name)
        try:
            return self._copies.copy_of(artifact, partial(self._store.fetch, artifact))
        except (OSError, ArtifactError) as error:
            raise PlatformStepError(
                "ArtifactStore", f"cannot fetch {artifact.uri}: {error}"
            ) from error

    def bundle(self, digest: str) -> Path:
        """Unpack a code bundle; see `Artifacts`."""
        known = self._bundles.get(digest)
        if known is not None:
            return known
        with self._lock_of(digest):
            target = self._cache / "bundles" / digest.replace(":", "-")
            if not target.exists():
                self._unpack(digest, target)
        self._bundles[digest] = target
        return target

    def has_bundle(self, digest: str) -> bool:
        """Tell whether the bundle is unpacked; see `Artifacts`."""
        return digest in self._bundles

    def put(self, path: Path, kind: str, name: str) -> dict[str, Any]:
        """Store a file or directory; see `Artifacts`."""
        keep = self._store.put_directory if path.is_dir() else self._store.put_file
        try:
            stored = keep(path, kind, name=name)
        except Unreadable as error:
            raise UserStepError(
                "OutputMismatch", f"{path.name} cannot be kept as an artifact: {error}"
            ) from error
        except (OSError, ArtifactError) as error:
            raise PlatformStepError(
                "ArtifactStore", f"cannot store {path.name}: {error}"
            ) from error
        return dict(stored.to_json())

    def _artifact_of(self, digest: object, media_type: object) -> Artifact:
        if not isinstance(digest, str):
            raise UserStepError(
                "InvalidArtifact", f"an artifact's digest is {str(digest)[:80]!r}, not text"
            )
        try:
            artifact = self._store.by_digest(digest)
        except ArtifactError as error:
            raise UserStepError(
                "InvalidArtifact", f"an input names an artifact whose digest {error}"
            ) from error
        return replace(artifact, media_type=DIRECTORY) if media_type == DIRECTORY else artifact

    def _unpack(self, digest: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=".bundle-", dir=target.parent))
        try:
            self._store.fetch(self._store.by_digest(digest, "file"), holder / "bundle.zip")
            unpack_zip(holder / "bundle.zip", holder / "content")
            _move(holder / "content", target)
        except (OSError, ArtifactError) as error:
            raise PlatformStepError(
                "CodeBundle", f"cannot unpack code bundle {digest}: {error}"
            ) from error
        finally:
            shutil.rmtree(holder, ignore_errors=True)

    def _lock_of(self, digest: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(digest, threading.Lock())


def _move(source: Path, target: Path) -> None:
    try:
        move(source, target)
    except OSError:
        if not target.exists():  # another runner with the same cache was faster otherwise
            raise
