"""Content on its way into or out of the store."""

from __future__ import annotations

import hashlib
from typing import IO

from kaon_artifacts.artifact import Artifact
from kaon_artifacts.errors import ArtifactError

CHUNK = 1 << 20


class Checked:
    """Content on its way into the store: it must still match its measured digest."""

    def __init__(self, content: IO[bytes], artifact: Artifact) -> None:
        self._content = content
        self._artifact = artifact
        self._hasher = hashlib.sha256()
        self.size = artifact.size

    def read(self, size: int = -1) -> bytes:
        """Read bytes and update the digest."""
        data = self._content.read(size)
        self._hasher.update(data)
        return data

    def check(self) -> None:
        """Check the content after the last read.

        Raises:
            ArtifactError: The content was changed meanwhile.
        """
        if f"sha256:{self._hasher.hexdigest()}" != self._artifact.digest:
            raise ArtifactError("the content changed while it was stored: end its writer first")


def measure(content: IO[bytes]) -> tuple[str, int]:
    """Return the digest and the size of content, and rewind it."""
    hasher, size = hashlib.sha256(), 0
    while chunk := content.read(CHUNK):
        hasher.update(chunk)
        size += len(chunk)
    content.seek(0)
    return f"sha256:{hasher.hexdigest()}", size


def copy(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy content and return its digest."""
    hasher = hashlib.sha256()
    while chunk := source.read(CHUNK):
        hasher.update(chunk)
        target.write(chunk)
    return f"sha256:{hasher.hexdigest()}"
