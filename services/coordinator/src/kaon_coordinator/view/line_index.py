"""Where lines of a whole log begin: how many line ends there are before each block of it, counted once and as far as asked for."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from kaon_coordinator.view.line_reading import BLOCK_BYTES

# A log of 1 GiB has 4,096 blocks.
_MOST_LOGS = 32

Read = Callable[[int, int], bytes]


class LineIndex:
    """The line ends of one log. Safe to use on several threads."""

    def __init__(self) -> None:
        # Line ends before each block; the last one is of the first block that was not read.
        self._before = array("q", [0])
        self._lock = Lock()

    def lines_before(self, place: int, read: Read) -> int:
        """Return how many lines end before byte `place`.

        Args:
            place: in the log, or its end.
            read: returns bytes of the log: from a place on, so many.
        """
        block, rest = divmod(place, BLOCK_BYTES)
        with self._lock:
            while len(self._before) <= block:
                self._count(read)
            before = self._before[block]
        return before + (read(block * BLOCK_BYTES, rest).count(b"\n") if rest else 0)

    def begin_of(self, line: int, size: int, read: Read) -> int:
        """Return the byte at which a line begins, from number 1 on; `size`, that of the log, when it has fewer lines."""
        ends = line - 1
        if ends <= 0:
            return 0
        with self._lock:
            while self._before[-1] < ends and (len(self._before) - 1) * BLOCK_BYTES < size:
                self._count(read)
            if self._before[-1] < ends:
                return size
            block = bisect_left(self._before, ends) - 1
            ends -= self._before[block]
        data, at = read(block * BLOCK_BYTES, BLOCK_BYTES), -1
        for _ in range(ends):
            at = data.index(b"\n", at + 1)
        return block * BLOCK_BYTES + at + 1

    def _count(self, read: Read) -> None:
        data = read((len(self._before) - 1) * BLOCK_BYTES, BLOCK_BYTES)
        self._before.append(self._before[-1] + data.count(b"\n"))


class LineIndexes:
    """The indexes of the logs that were looked at last, by digest. Safe to use on several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[str, LineIndex] = OrderedDict()

    def of(self, digest: str) -> LineIndex:
        """Return the index of a log."""
        with self._lock:
            index = self._kept.setdefault(digest, LineIndex())
            self._kept.move_to_end(digest)
            while len(self._kept) > _MOST_LOGS:
                self._kept.popitem(last=False)
            return index
