"""What must outlast a loss of power."""

from __future__ import annotations

import ctypes
import os
import shutil
import uuid
from pathlib import Path
from typing import IO

_CHUNK = 1 << 20


def sync(file: IO[bytes]) -> None:
    """Brings what was written to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_directory(path: Path | str) -> None:
    """Brings the names in a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Makes a directory with those above it, on the disk; nothing happens when it is there.

    Raises:
        OSError: it cannot be made.
    """
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(exist_ok=True)
        sync_directory(path.parent)


def sync_filesystem(path: Path | str) -> None:
    """Brings everything to the disk that was written to the file system of a directory: of a large tree, faster than one by one.

    Raises:
        OSError: some of it could not be written.
    """
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if library.syncfs(descriptor):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(path))
    finally:
        os.close(descriptor)


def sync_and_move(source: Path, target: Path) -> None:
    """Like `move`, for a file or directory that another program has written.

    Raises:
        OSError: as `os.rename`; or it could not be brought to the disk.
    """
    if source.is_dir():
        sync_filesystem(source)
    else:
        with source.open("rb") as content:
            os.fsync(content.fileno())
    move(source, target)


def write(content: IO[bytes], target: Path) -> None:
    """Writes a file so that it is there whole or not at all, whatever happens; one that is there is replaced.

    Raises:
        OSError: it could not be written.
    """
    partial = target.with_name(f".{uuid.uuid4().hex}")
    try:
        with partial.open("wb") as file:
            shutil.copyfileobj(content, file, _CHUNK)
            sync(file)
        move(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def move(source: Path, target: Path) -> None:
    """Moves a file or directory, whose content is on the disk already, so that it is there or not, whatever happens.

    Raises:
        OSError: as `os.rename`.
    """
    os.rename(source, target)
    sync_directory(target.parent)
