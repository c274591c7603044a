"""Lines of stored bytes, from any place on in either direction. Of a line that is too long for memory its beginning is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate

BLOCK_BYTES = 256 * 1024
# Of one line; the rest of it is passed over.
LINE_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line."""

    # Its first byte.
    begin: int
    # Where the next one begins.
    end: int
    # Without the line end; its first `LINE_BYTES`.
    data: bytes
    # Bytes of the whole line without its end.
    size: int
    # From 1.
    number: int


class Lines:
    """Goes through lines. After each one, and at the end, its attributes say how far it has come.

    Args:
        read: returns bytes: from a place on, so many; fewer at the end.
        size: of all bytes.
        most: bytes after which it stops, once it has come to the end of a line.
        may_match: tells whether there may be a wanted line among these bytes: lines without one are passed over.
    """

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        size: int,
        most: int,
        may_match: Callable[[bytes], bool],
    ) -> None:
        self._read = read
        self._size = size
        self._most = most
        self._may_match = may_match
        # The line end up to which all was read; `number` is that of the line after it, or backwards before it.
        self.place = 0
        self.number = 0

    def after(self, place: int, number: int) -> Iterator[Line]:
        """Yield the lines from `place` on, where line `number` begins."""
        self.place, self.number = place, number
        at, rest = place, b""
        while at < self._size and (self.place == place or at < place + self._most):
            data = self._read(at, BLOCK_BYTES)
            begin, at = at, at + len(data)
            first, last = data.find(b"\n"), data.rfind(b"\n")
            if first < 0:
                rest += data[: LINE_BYTES - len(rest)]
                continue
            yield self._next(rest + data[:first], begin + first, begin + first + 1)
            if last > first and self._may_match(data[first + 1 : last]):
                for line in data[first + 1 : last].split(b"\n"):
                    end = self.place + len(line)
                    yield self._next(line, end, end + 1)
            elif last > first:
                self.number += data.count(b"\n", first + 1, last + 1)
                self.place = begin + last + 1
            rest = data[last + 1 :]
        if at >= self._size and self.place < self._size:
            yield self._next(rest, self._size, self._size)

    def before(self, place: int, number: int) -> Iterator[Line]:
        """Yield the lines before `place`, the last one first, which has this number."""
        self.place, self.number = place, number
        begin = place - 1 if place and self._read(place - 1, 1) == b"\n" else place
        # Where the text ends of the line that ends at `self.place`.
        end, rest = begin, b""
        stop = max(begin - self._most, 0)
        while begin > 0 and (self.place == place or begin > stop):
            size = min(BLOCK_BYTES, begin)
            begin -= size
            first, *lines = self._read(begin, size).split(b"\n")
            if not lines:
                rest = (first + rest)[:LINE_BYTES]
                continue
            begins = list(
                accumulate((len(line) + 1 for line in lines[:-1]), initial=begin + len(first) + 1)
            )
            yield self._previous(lines[-1] + rest, begins[-1], end)
            if self._may_match(b"\n".join(lines[:-1])):
                for at in range(len(lines) - 2, -1, -1):
                    yield self._previous(lines[at], begins[at], begins[at + 1] - 1)
            else:
                self.number -= len(lines) - 1
                self.place = begins[0]
            end, rest = self.place - 1, first
        if begin == 0 and self.place > 0:
            yield self._previous(rest, 0, end)

    def _next(self, data: bytes, end: int, after: int) -> Line:
        line = Line(
            begin=self.place,
            end=after,
            data=data[:LINE_BYTES],
            size=end - self.place,
            number=self.number,
        )
        self.place, self.number = after, self.number + 1
        return line

    def _previous(self, data: bytes, begin: int, end: int) -> Line:
        line = Line(
            begin=begin,
            end=self.place,
            data=data[:LINE_BYTES],
            size=end - begin,
            number=self.number,
        )
        self.place, self.number = begin, self.number - 1
        return line
