"""Bounds of a lease's archived lines: the first and the last ones stay, distinguished by their numbers alone.

A number determines whether its line belongs to the head, to the tail, or to the omitted lines between them.
So a repeated line is omitted again, and the gap is exact in whatever order the lines came.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kaonapi.log.v1 import log_pb2


@dataclass(frozen=True, kw_only=True)
class LogBounds:
    """Bounds of one lease's archived output; the step's log artifact has all of it."""

    head_lines: int = 2_000
    tail_lines: int = 8_000
    # Of UTF-8 text. The tail may have one record more.
    head_bytes: int = 1024 * 1024
    tail_bytes: int = 3 * 1024 * 1024

    @property
    def slack(self) -> int:
        """Return how many lines are left out together: their rows are deleted in batches."""
        return max(1, self.tail_lines // 8)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of a record that stay."""

    head: tuple[log_pb2.LogLine, ...]
    tail: tuple[log_pb2.LogLine, ...]


@dataclass(kw_only=True)
class Kept:
    """The lines of one lease that stay: all while the head is open, then 1 to `head_last` and those from `tail_first` on."""

    head_lines: int = 0
    head_bytes: int = 0
    # The head takes no further numbers.
    closed: bool = False
    head_last: int = 0
    tail_first: int = 0
    tail_bytes: int = 0
    # The largest number so far.
    last: int = 0

    @property
    def left_out(self) -> tuple[int, int] | None:
        """Return the first and last omitted number, the last one lower when there is none; None while the head is open."""
        return (self.head_last + 1, self.tail_first - 1) if self.closed else None

    def take(self, lines: Iterable[log_pb2.LogLine], bounds: LogBounds) -> Parts:
        """Add new lines in order of their numbers, and return those that stay."""
        head: list[log_pb2.LogLine] = []
        tail: list[log_pb2.LogLine] = []
        for line in lines:
            size = len(line.text.encode())
            if self._is_of_head(line.sequence, size, bounds):
                self.head_lines += 1
                self.head_bytes += size
                head.append(line)
            elif line.sequence >= self.tail_first and line.sequence > self.head_last:
                self.tail_bytes += size
                tail.append(line)
            self._pass(line.sequence, bounds)
        return Parts(
            head=tuple(head), tail=tuple(line for line in tail if line.sequence >= self.tail_first)
        )

    def _is_of_head(self, number: int, size: int, bounds: LogBounds) -> bool:
        fits = self.head_bytes + size <= bounds.head_bytes
        if self.closed:
            return number <= self.head_last and fits
        if fits and number <= bounds.head_lines:
            return True
        self.closed = True
        self.head_last = min(number - 1, bounds.head_lines)
        self.tail_first = self.head_last + 1
        return False

    def _pass(self, number: int, bounds: LogBounds) -> None:
        self.last = max(self.last, number)
        if self.closed:
            self.tail_first = max(self.tail_first, self.last - bounds.tail_lines + 1)


def visible(payload: bytes, left_out: tuple[int, int]) -> bytes:
    """Return a serialized LogLines without the lines of omitted numbers."""
    record = log_pb2.LogLines.FromString(payload)
    first, last = left_out
    lines = [line for line in record.lines if not first <= line.sequence <= last]
    if len(lines) == len(record.lines):
        return payload
    shown = log_pb2.LogLines(
        key=record.key, incarnation=record.incarnation, lines=lines, dropped=record.dropped
    )
    return shown.SerializeToString(deterministic=True)
