"""Files that are read again when they change, so that keys and certificates rotate without a restart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from kaon_wire.errors import InvalidValue

T = TypeVar("T")

# For what is asked for with every event or heartbeat.
OFTEN_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Watched(Generic[T]):
    """What some files hold, as they are now. A change that cannot be read leaves the last good content in force.

    Args:
        paths: The files.
        load: Reads them; raises `InvalidValue` when their content is not valid.
        seconds: For so long after a look the files are not looked at: for what is asked for often.

    Raises:
        InvalidValue: They are missing, or not valid, at the start.
    """

    def __init__(
        self, paths: Sequence[Path], load: Callable[[], T], *, seconds: float = 0.0
    ) -> None:
        self._paths = tuple(paths)
        self._load = load
        self._lock = threading.Lock()
        self._seconds = seconds
        self._again = time.monotonic() + seconds
        # Before the content: what changes meanwhile is read again.
        self._stamp = self._stamps()
        self._content = load()

    def get(self) -> T:
        """Return the content of the files."""
        now = time.monotonic()
        if now < self._again:
            return self._content
        self._again = now + self._seconds
        stamp = self._stamps()
        if stamp != self._stamp:
            with self._lock:
                self._read_again(stamp)
        return self._content

    def _read_again(self, stamp: object) -> None:
        if stamp == self._stamp:
            return
        self._stamp = stamp
        names = [str(path) for path in self._paths]
        try:
            self._content = self._load()
        except InvalidValue as error:
            log.warning(
                "files have changed and are not valid; their last content stays in force",
                files=names,
                reason=str(error),
            )
        else:
            log.info("files have changed, and are read again", files=names)

    def _stamps(self) -> object:
        return tuple(_stamp(path) for path in self._paths)


def read_text(variable: str, path: Path) -> str:
    """Return the text of a file that a variable names.

    Raises:
        InvalidValue: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{variable}: {path} cannot be read: {error}") from error


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
