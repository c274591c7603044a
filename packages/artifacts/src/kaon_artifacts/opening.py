"""Opens untrusted files: never follows a link, never blocks, and reads only plain files.

A program may leave a named pipe, a device or a link where a file is expected. Opening a pipe blocks for ever,
reading a device never ends, and a link leads anywhere.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from kaon_artifacts.errors import Unreadable

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a directory",
    stat.S_IFREG: "a file",
}
# Errors that concern this machine and not the path.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ENOSPC})
_READ_BYTES = 1 << 20
# A large file with so little data on disk is sparse: reading it would take hours.
_LARGE_BYTES = 1 << 30
_BLOCK_BYTES = 512
_LEAST_SHARE = 1000


@contextmanager
def directory(path: str | os.PathLike[str], *, within: int | None = None) -> Iterator[int]:
    """Yield a descriptor of a directory, for opening its entries.

    Args:
        path: One name when `within` is given, else a path.
        within: The descriptor of the parent directory.

    Raises:
        Unreadable: The directory does not exist; a link to one does not count.
    """
    descriptor = _open(path, within, stat.S_IFDIR, os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def file(path: str | os.PathLike[str], *, within: int | None = None) -> IO[bytes]:
    """Yield a plain file, opened for reading. Arguments as in `directory`.

    Raises:
        Unreadable: It is something else, not readable, or a large sparse file.
    """
    descriptor = _open(path, within, stat.S_IFREG)
    status = os.fstat(descriptor)
    if (
        status.st_size > _LARGE_BYTES
        and status.st_blocks * _BLOCK_BYTES < status.st_size // _LEAST_SHARE
    ):
        os.close(descriptor)
        raise Unreadable(
            f"{os.fspath(path)} is sparse: of its {status.st_size} bytes {status.st_blocks * _BLOCK_BYTES} were written"
        )
    return os.fdopen(descriptor, "rb")


def read(path: str | os.PathLike[str], *, most: int, within: int | None = None) -> bytes:
    """Return the content of a plain file of at most `most` bytes. Arguments as in `directory`.

    Raises:
        Unreadable: It is something else, not readable, or larger.
    """
    with file(path, within=within) as content:
        return bounded(content, most, os.fspath(path))


def bounded(content: IO[bytes], most: int, name: str) -> bytes:
    """Return the rest of an open file, at most `most` bytes.

    Raises:
        Unreadable: The rest is larger.
    """
    parts, size = [], 0
    while part := content.read(min(_READ_BYTES, most + 1 - size)):
        parts.append(part)
        size += len(part)
        if size > most:
            raise Unreadable(f"{name} has more than {most} bytes")
    return b"".join(parts)


def kind_of(mode: int) -> str:
    """Return the type of a file from its mode, in words."""
    return _KINDS.get(stat.S_IFMT(mode), "no file")


def _open(path: str | os.PathLike[str], within: int | None, wanted: int, flags: int = 0) -> int:
    name = os.fspath(path)
    try:
        # Checked before opening: for some devices opening has an effect.
        _check(os.stat(name, dir_fd=within, follow_symlinks=False), wanted, name)
        descriptor = os.open(name, _FLAGS | flags, dir_fd=within)
    except ValueError as error:
        raise Unreadable(f"{name!r} is no path: {error}") from error
    except OSError as error:
        if error.errno in _OURS:
            raise
        raise Unreadable(f"{name} cannot be read: {error.strerror}") from error
    try:
        _check(os.fstat(descriptor), wanted, name)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check(status: os.stat_result, wanted: int, name: str) -> None:
    if stat.S_IFMT(status.st_mode) != wanted:
        raise Unreadable(f"{name} is {kind_of(status.st_mode)}, not {_KINDS[wanted]}")
