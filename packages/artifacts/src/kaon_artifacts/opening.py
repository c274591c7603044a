"""Opens what somebody else may have put there: never follows a link, never waits, and reads nothing but plain files.

A program that runs for somebody else may leave a named pipe, a device or a link where a file is expected. Opening the first waits
for ever, reading the second never ends, and the third leads anywhere.
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
# What says something about this machine and not about the path.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ENOSPC})
_READ_BYTES = 1 << 20
# A large file of which so little lies on the disk was never written, only stretched: reading it takes hours.
_LARGE_BYTES = 1 << 30
_BLOCK_BYTES = 512
_LEAST_SHARE = 1000


@contextmanager
def directory(path: str | os.PathLike[str], *, within: int | None = None) -> Iterator[int]:
    """A descriptor of a directory, for opening what lies in it.

    Args:
        path: one name when `within` is given.
        within: the descriptor of the directory in which it is.

    Raises:
        Unreadable: there is no such directory; a link to one is none.
    """
    descriptor = _open(path, within, stat.S_IFDIR, os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def file(path: str | os.PathLike[str], *, within: int | None = None) -> IO[bytes]:
    """A plain file, opened for reading. Arguments as for `directory`.

    Raises:
        Unreadable: it is something else, it may not be read, or it is a large file with next to nothing in it.
    """
    descriptor = _open(path, within, stat.S_IFREG)
    status = os.fstat(descriptor)
    if status.st_size > _LARGE_BYTES and status.st_blocks * _BLOCK_BYTES < status.st_size // _LEAST_SHARE:
        os.close(descriptor)
        raise Unreadable(
            f"{os.fspath(path)} is sparse: of its {status.st_size} bytes {status.st_blocks * _BLOCK_BYTES} were written"
        )
    return os.fdopen(descriptor, "rb")


def read(path: str | os.PathLike[str], *, most: int, within: int | None = None) -> bytes:
    """The content of a plain file of at most `most` bytes. Arguments as for `directory`.

    Raises:
        Unreadable: it is something else, may not be read, or is larger.
    """
    with file(path, within=within) as content:
        return bounded(content, most, os.fspath(path))


def bounded(content: IO[bytes], most: int, name: str) -> bytes:
    """What is left of an open file, at most `most` bytes of it.

    Raises:
        Unreadable: there is more.
    """
    parts, size = [], 0
    while part := content.read(min(_READ_BYTES, most + 1 - size)):
        parts.append(part)
        size += len(part)
        if size > most:
            raise Unreadable(f"{name} has more than {most} bytes")
    return b"".join(parts)


def kind_of(mode: int) -> str:
    """What a file's mode says that it is, in words."""
    return _KINDS.get(stat.S_IFMT(mode), "no file")


def _open(path: str | os.PathLike[str], within: int | None, wanted: int, flags: int = 0) -> int:
    name = os.fspath(path)
    try:
        # Looked at before it is opened: opening alone does something to some devices.
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
