"""One process at a time executes what a state directory holds."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from kaon_wire.errors import Conflict


class StateLock:
    """The right to execute the runs of a directory; it ends with the process.

    Args:
        state: The directory.
    """

    def __init__(self, state: Path) -> None:
        self._file = state / "lock"
        self._fd = -1

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            Conflict: Another process has it.
            OSError: The directory cannot be written to; it names the file.
        """
        fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 100).decode(errors="replace").strip() or "another process"
            os.close(fd)
            raise Conflict(
                f"{self._file.parent} is in use by process {holder}: wait for its end, or choose another --state"
            ) from None
        try:
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
        except OSError as error:
            os.close(fd)
            # What a call by descriptor does not tell: where the disk is full.
            raise OSError(error.errno, error.strerror, str(self._file)) from error
        self._fd = fd

    def release(self) -> None:
        """Give the lock back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
