"""Durable writes, which survive a loss of power."""

from __future__ import annotations

import ctypes
import os
import shutil
import uuid
from pathlib import Path
from typing import IO

_CHUNK = 1 << 20


def sync(file: IO[bytes]) -> None:
    """Sync written data to disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_directory(path: Path | str) -> None:
    """Sync the names in a directory to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make a directory and its parents durably, unless it exists.

    Raises:
        OSError: It cannot be made.
    """
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(exist_ok=True)
        sync_directory(path.parent)


def sync_filesystem(path: Path | str) -> None:
    """Sync the file system of a directory: faster than file by file for a large tree.

    Raises:
        OSError: Some data could not be written.
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
    """Move a file or directory that another program wrote, after syncing it.

    Raises:
        OSError: As in `os.rename`; or it could not be synced.
    """
    if source.is_dir():
        sync_filesystem(source)
    else:
        with source.open("rb") as content:
            os.fsync(content.fileno())
    move(source, target)


def write(content: IO[bytes], target: Path) -> None:
    """Write a file atomically and durably; an existing one is replaced.

    Raises:
        OSError: It could not be written.
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
    """Move a synced file or directory atomically and durably.

    Raises:
        OSError: As in `os.rename`.
    """
    os.rename(source, target)
    sync_directory(target.parent)
