"""Counts lines of stored bytes and those that hold a text, block by block: a line is looked at alone only where the text is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kaon_coordinator.view.line_reading import BLOCK_BYTES, LINE_BYTES
from kaon_coordinator.view.log_lines import Needle


@dataclass(kw_only=True)
class Counted:
    """What was counted, in buckets of equal size; a line is of the bucket in which it begins."""

    lines: int = 0
    matches: int = 0
    # Matches in each bucket.
    hits: list[int] = field(default_factory=list)
    # Where the first line begins of each bucket or of those after it.
    begins: list[int] = field(default_factory=list)


def count(
    read: Callable[[int, int], bytes], size: int, most: int, needle: Needle, buckets: int
) -> Counted:
    """Count the lines of the first `most` of `size` bytes."""
    told = Counted(hits=[0] * buckets)
    for begin, text in _whole_lines(read, size, most):
        told.lines += text.count(b"\n")
        _note_begins(told, begin, text, size, buckets)
        if not needle:
            continue
        for at in needle.lines_with(text):
            told.matches += 1
            if buckets:
                told.hits[(begin + at) * buckets // size] += 1
    told.begins += [size] * (buckets - len(told.begins))
    return told


def _note_begins(told: Counted, begin: int, text: bytes, size: int, buckets: int) -> None:
    while len(told.begins) < buckets:
        # The first byte of the bucket.
        bound = -(-len(told.begins) * size // buckets)
        line = 0 if bound <= begin else text.find(b"\n", bound - 1 - begin) + 1
        if line >= len(text) or (line == 0 and bound > begin):
            return
        told.begins.append(begin + line)


def _whole_lines(
    read: Callable[[int, int], bytes], size: int, most: int
) -> Iterator[tuple[int, bytes]]:
    """Yield lines with their ends, many at once, and the byte at which they begin. Of a long one its beginning comes."""
    begin, at, rest = 0, 0, b""
    while at < min(size, most):
        data = read(at, BLOCK_BYTES)
        last = data.rfind(b"\n")
        if last < 0:
            rest += data[: LINE_BYTES - len(rest)]
        elif begin + len(rest) < at:
            # It was too long.
            first = data.find(b"\n")
            yield begin, rest + b"\n"
            yield at + first + 1, data[first + 1 : last + 1]
            begin, rest = at + last + 1, data[last + 1 :]
        else:
            yield begin, rest + data[: last + 1]
            begin, rest = at + last + 1, data[last + 1 :]
        at += len(data)
    if begin < at:
        yield begin, rest + b"\n"
