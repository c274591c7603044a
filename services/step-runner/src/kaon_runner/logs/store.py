"""The complete log of one step on disk: its beginning and its end when it exceeds the bound."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import IO


class _Spool:
    """Bytes in a file; the newest ones stay in memory until a write is worthwhile.

    Most steps print nothing, so a path is made only for a file.
    """

    MEMORY_BYTES = 64 * 1024

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name
        self.size = 0
        # Line ends in it.
        self.lines = 0
        self._parts: list[bytes] = []
        self._waiting = 0
        self._written = False

    @property
    def path(self) -> Path:
        """Return the file."""
        return self._directory / self._name

    def add(self, data: bytes) -> None:
        self._parts.append(data)
        self.size += len(data)
        self.lines += data.count(b"\n")
        self._waiting += len(data)
        if self._waiting > self.MEMORY_BYTES:
            self.spill()

    def spill(self) -> None:
        """Write the bytes in memory."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            # Some of it may be written before the rest cannot be.
            self._written = True
            file.writelines(self._parts)
        self._parts.clear()
        self._waiting = 0

    def remove(self) -> None:
        """Delete the file."""
        if self._written:
            self.path.unlink(missing_ok=True)


# Of a step that has printed nothing, as most do: nothing is added to it.
_NOTHING = _Spool(Path(), "")


class LogStore:
    """The complete log, bounded: half of the bound for its beginning, the rest for its end. In memory while it is small.

    Args:
        directory: The directory of the file.
        name: The name of the file.
        limit: The bound in bytes.
    """

    def __init__(self, directory: Path, name: str, limit: int) -> None:
        self._directory = directory
        self._name = name
        self.limit = limit
        self._head = _NOTHING
        self._ends_line = True
        # The end: when the newer of two segments is full, the older one is dropped.
        self._segment = max(1, limit // 4)
        self._segments = 0
        self._older = self._newer = _NOTHING
        self._left_out = 0
        self._given_up = False
        # Line ends in the notice.
        self._notice_lines = 0

    @property
    def path(self) -> Path:
        """Return the file."""
        return self._directory / self._name

    @property
    def size(self) -> int:
        """Return the number of stored bytes."""
        return self._head.size + self._older.size + self._newer.size

    @property
    def lines(self) -> int:
        """Return the number of line ends in the finished file."""
        return self._head.lines + self._older.lines + self._newer.lines + self._notice_lines

    def add(self, data: bytes) -> bool:
        """Add `data`; return True when this omits the first bytes.

        Raises:
            OSError: It cannot be written, as on a full disk.
        """
        if self._given_up:
            return False
        if self._head is _NOTHING:
            self._head = _Spool(self._directory, self._name)
        room = max(0, self.limit - 2 * self._segment - self._head.size)
        if data[:room]:
            self._head.add(data[:room])
            self._ends_line = data[:room].endswith(b"\n")
        was_whole = not self._left_out
        for start in range(room, len(data), self._segment):
            self._add_to_end(data[start : start + self._segment])
        return was_whole and self._left_out > 0

    def finish(self) -> Path | None:
        """Complete the file, with a notice of the omitted part, and return it; None when nothing was printed."""
        if self.size == 0:
            return None
        self._head.spill()
        if self._newer.size:
            with self.path.open("ab") as target:
                self._copy_end(target)
        return self.path

    def give_up(self) -> None:
        """Delete what is kept, and keep nothing from now on."""
        self.remove()
        self._head = self._older = self._newer = _NOTHING
        self._given_up = True

    def remove(self) -> None:
        """Delete the files."""
        for spool in (self._head, self._older, self._newer):
            spool.remove()

    def _copy_end(self, target: IO[bytes]) -> None:
        for number, spool in enumerate(each for each in (self._older, self._newer) if each.size):
            spool.spill()
            with spool.path.open("rb") as source:
                if number == 0 and self._left_out:
                    target.write(self._notice(source))
                shutil.copyfileobj(source, target)
            spool.remove()

    def _add_to_end(self, data: bytes) -> None:
        if self._newer is _NOTHING:
            self._newer = self._next_segment()
        elif self._newer.size + len(data) > self._segment:
            self._left_out += self._older.size
            self._older.remove()
            self._older, self._newer = self._newer, self._next_segment()
        self._newer.add(data)

    def _next_segment(self) -> _Spool:
        self._segments += 1
        return _Spool(self._directory, f"{self._name}.{self._segments}")

    def _notice(self, oldest: IO[bytes]) -> bytes:
        """Return the notice between beginning and end; the end begins with a whole line, if one of usual length is there."""
        passed = oldest.readline(_Spool.MEMORY_BYTES)
        cut = len(passed)
        text = (
            f"[kaon: {self._left_out + cut} bytes are left out here: the runner keeps {self.limit} bytes of a step's log, its "
            "beginning and its end]\n"
        )
        # The end begins after the line that was cut, whose end is passed over when it was found.
        self._notice_lines = 1 + (not self._ends_line) - passed.endswith(b"\n")
        return (b"" if self._ends_line else b"\n") + text.encode()
