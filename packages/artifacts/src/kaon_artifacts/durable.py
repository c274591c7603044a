"""What must outlast a loss of power."""

from __future__ import annotations

import os
from pathlib import Path


def sync_directory(path: Path | str) -> None:
    """Brings the names in a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move(source: Path, target: Path) -> None:
    """Moves a file or directory, whose content is on the disk already, so that it is there or not, whatever happens.

    Raises:
        OSError: as `os.rename`.
    """
    os.rename(source, target)
    sync_directory(target.parent)
