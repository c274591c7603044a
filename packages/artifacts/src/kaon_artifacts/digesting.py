"""Digests of local files and directories, without storing them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import IO, cast

from kaon_artifacts import opening
from kaon_artifacts.archive import pack


def digest_of(path: Path) -> str:
    """Return the digest that a file or directory has, or would have, as an artifact.

    Raises:
        Unreadable: It is neither, or contains something that cannot be stored.
        ArtifactError: It changes meanwhile.
    """
    target = _Digesting()
    if path.is_dir():
        pack(path, cast("IO[bytes]", target))
    else:
        with opening.file(path) as content:
            shutil.copyfileobj(content, cast("IO[bytes]", target))
    return target.digest()


class _Digesting:
    """A writer that only computes the digest."""

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> int:
        self._hasher.update(data)
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def digest(self) -> str:
        return f"sha256:{self._hasher.hexdigest()}"
