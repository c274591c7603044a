"""Lines of logs: which match, and how they are told."""

from __future__ import annotations

from collections.abc import Iterator

from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.view.v1 import logs_pb2

# Bytes of a line that are told.
LONGEST_LINE = 16_384
_MOST_MATCHES = 100
STREAM_NAMES = {
    log_pb2.STREAM_UNSPECIFIED: "unknown",
    log_pb2.STREAM_STDOUT: "stdout",
    log_pb2.STREAM_STDERR: "stderr",
    log_pb2.STREAM_SYSTEM: "system",
}


class Needle:
    """A text that is looked for."""

    def __init__(self, wish: logs_pb2.LogFilter) -> None:
        self._ignore_case = wish.ignore_case
        self._text = wish.text.lower() if wish.ignore_case else wish.text
        # Found in bytes at once; None where bytes cannot tell: capitals beyond ASCII, and what no line contains.
        exact = not wish.ignore_case or wish.text.isascii()
        self._data = self._text.encode() if exact and "\n" not in self._text else None

    def __bool__(self) -> bool:
        return bool(self._text)

    def found_in(self, text: str) -> bool:
        """Whether the text is in a line; the empty one is in every line."""
        return self._text in (text.lower() if self._ignore_case else text)

    def may_be_in(self, data: bytes) -> bool:
        """Whether the text may be in one of some lines."""
        return self._data is None or self._data in self._folded(data)

    def lines_with(self, data: bytes) -> Iterator[int]:
        """Yield where the lines begin in which the text is. Every line in `data` has its end."""
        if self._data is None:
            at = 0
            for line in data.split(b"\n")[:-1]:
                if self.found_in(line.decode(errors="replace")):
                    yield at
                at += len(line) + 1
            return
        folded, end = self._folded(data), 0
        while (at := folded.find(self._data, end)) >= 0:
            yield data.rfind(b"\n", 0, at) + 1
            end = data.index(b"\n", at) + 1

    def _folded(self, data: bytes) -> bytes:
        return data.lower() if self._ignore_case else data

    def places(self, text: str) -> Iterator[logs_pb2.LogMatch]:
        """Where the text is, in UTF-16 code units."""
        if not self._text:
            return
        # Some capital letters become two small ones: then places would be wrong, and only exact ones are told.
        lower = text.lower() if self._ignore_case else text
        searched = lower if len(lower) == len(text) else text
        at = searched.find(self._text)
        for _ in range(_MOST_MATCHES):
            if at < 0:
                return
            last = at + len(self._text)
            yield logs_pb2.LogMatch(start=_units(text[:at]), end=_units(text[:last]))
            at = searched.find(self._text, last)


def entry(
    key: step_pb2.StepKey, line: log_pb2.LogLine, needle: Needle, cursor: str
) -> logs_pb2.LogEntry:
    """Return a line as it is told."""
    text, size = line.text, max(len(line.text), line.size_bytes)
    if size > LONGEST_LINE // 4:
        data = line.text.encode()
        size = max(len(data), line.size_bytes)
        text = data[:LONGEST_LINE].decode(errors="ignore")
    return logs_pb2.LogEntry(
        path=key.path,
        attempt=key.attempt,
        generation=key.generation,
        sequence=line.sequence,
        time_us=line.time_us,
        stream=line.stream,
        text=text,
        cut_bytes=size if size > LONGEST_LINE else 0,
        matches=needle.places(text),
        cursor=cursor,
        continues=line.continues,
    )


def in_bounds(line: log_pb2.LogLine, wish: logs_pb2.LogFilter) -> bool:
    """Whether a line is of the streams and of the times that are wanted."""
    if wish.streams and line.stream not in wish.streams:
        return False
    if wish.from_us and line.time_us < wish.from_us:
        return False
    return not wish.until_us or line.time_us < wish.until_us


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
