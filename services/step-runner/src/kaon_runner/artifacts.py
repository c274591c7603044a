"""The runner's way to the artifact store: local copies of inputs, unpacked code bundles, uploads of what steps produced."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaon_artifacts import Artifact, ArtifactError, ArtifactStore
from kaon_runner.errors import PlatformStepError
from kaon_runner.settings import Settings


class ArtifactGateway:
    """Thread-safe.

    Args:
        settings: `artifacts` says where the store is, `cache_directory` where copies are kept.
    """

    def __init__(self, settings: Settings) -> None:
        self._store = ArtifactStore(settings.artifacts or (settings.work / "artifacts").as_uri())
        self._cache = settings.cache_directory
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._bundles: dict[str, Path] = {}

    def fetch(self, reference: Mapping[str, Any]) -> Path | None:
        """See `preparing.Artifacts`."""
        digest = str(reference.get("digest", ""))
        if not digest:
            return None
        target = self._place("artifacts", digest)
        with self._lock_of(digest):
            try:
                os.utime(target)  # it is in use: see `disk.remove_unused`
            except FileNotFoundError:
                self._fetch_to(target, Artifact.from_json(dict(reference)))
                os.utime(target)  # an unpacked directory has the time at which it was packed
        return target

    def bundle(self, digest: str) -> Path:
        """See `preparing.Artifacts`."""
        known = self._bundles.get(digest)
        if known is not None:
            return known
        target = self._place("bundles", digest)
        with self._lock_of(digest):
            if not target.exists():
                self._unpack(digest, target)
        self._bundles[digest] = target
        return target

    def has_bundle(self, digest: str) -> bool:
        """See `preparing.Artifacts`."""
        return digest in self._bundles

    def put(self, path: Path, kind: str) -> dict[str, Any]:
        """See `preparing.Artifacts`."""
        try:
            stored = (
                self._store.put_directory(path, kind) if path.is_dir() else self._store.put_file(path, kind)
            )
        except (OSError, ArtifactError) as error:
            raise PlatformStepError("ArtifactStore", f"cannot store {path.name}: {error}") from error
        return dict(stored.to_json())

    def _fetch_to(self, target: Path, artifact: Artifact) -> None:
        """Copies beside the target and moves into place, so that nobody sees half of it."""
        target.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=".fetch-", dir=target.parent))
        try:
            self._store.fetch(artifact, holder / "content")
            _move(holder / "content", target)
        except (OSError, ArtifactError) as error:
            raise PlatformStepError("ArtifactStore", f"cannot fetch {artifact.uri}: {error}") from error
        finally:
            shutil.rmtree(holder, ignore_errors=True)

    def _unpack(self, digest: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=".bundle-", dir=target.parent))
        try:
            self._store.fetch(self._store.by_digest(digest, "file"), holder / "bundle.zip")
            with zipfile.ZipFile(holder / "bundle.zip") as archive:
                archive.extractall(holder / "content")
            _move(holder / "content", target)
        except (OSError, ArtifactError, zipfile.BadZipFile) as error:
            raise PlatformStepError("CodeBundle", f"cannot unpack code bundle {digest}: {error}") from error
        finally:
            shutil.rmtree(holder, ignore_errors=True)

    def _place(self, kind: str, digest: str) -> Path:
        return self._cache / kind / digest.replace(":", "-")

    def _lock_of(self, digest: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(digest, threading.Lock())


def _move(source: Path, target: Path) -> None:
    try:
        os.rename(source, target)
    except OSError:
        if not target.exists():  # another runner with the same cache was faster otherwise
            raise
