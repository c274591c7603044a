"""The whole log of an attempt, from the artifact that its runner stored: page by page in either direction, and searched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from kaon_artifacts import ArtifactError, ArtifactStore
from kaon_coordinator.api.pieces import opened
from kaon_coordinator.api.whole_log import StoredLog
from kaon_coordinator.view import line_counting
from kaon_coordinator.view.line_index import LineIndexes
from kaon_coordinator.view.line_reading import Line, Lines
from kaon_coordinator.view.log_lines import Needle, entry
from kaon_wire.errors import InvalidValue, Unavailable
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.view.v1 import logs_pb2

_PAGE = 500
# Bytes that one call reads at most: of a page, and of a count.
READ_BYTES = 64 * 1024 * 1024
COUNT_BYTES = 2 * 1024 * 1024 * 1024
# Of text in a page.
PAGE_BYTES = 4 * 1024 * 1024
_FORM = "w"
_INDEXES = LineIndexes()


def is_cursor(text: str) -> bool:
    """Whether a cursor is of a whole log."""
    return text.startswith(f"{_FORM}:")


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a line begins, or the end of the log."""

    byte: int
    # Lines before it; None when they were not counted.
    ends: int | None = None


_BEGINNING = _Place(byte=0, ends=0)


class _Source:
    """The stored bytes, opened."""

    def __init__(self, artifacts: ArtifactStore, file: Any, told: str) -> None:
        self._artifacts = artifacts
        self._file = file
        self._told = told

    def read(self, place: int, size: int) -> bytes:
        """Return bytes from a place on, as many unless the end comes before.

        Raises:
            Unavailable: the artifact store does not answer, or the log has become shorter.
        """
        try:
            with self._artifacts.talking():
                if self._file.tell() != place:
                    self._file.seek(place)
                data = bytes(self._file.read(size))
        except ArtifactError as error:
            raise Unavailable(f"{self._told} cannot be read on: {error}") from error
        if not data and size:
            raise Unavailable(f"{self._told} ends before its byte {place}")
        return data


class WholeLog:
    """One log. Every method blocks.

    Args:
        artifacts: where it is.
        log: which it is.
        key: of the step and the attempt that printed it.
    """

    def __init__(self, artifacts: ArtifactStore, log: StoredLog, key: step_pb2.StepKey) -> None:
        self._artifacts = artifacts
        self._log = log
        self._key = key
        self._size = log.artifact.size
        self._index = _INDEXES.of(log.artifact.digest)

    def page(self, request: logs_pb2.QueryLogsRequest) -> logs_pb2.QueryLogsResponse:
        """One page of lines.

        Raises:
            InvalidValue: the cursor is none.
            NotFound: the artifact is gone.
        """
        with self._opened() as source:
            return (self._before if request.backwards else self._after)(request, source)

    def count(self, request: logs_pb2.CountLogsRequest) -> logs_pb2.CountLogsResponse:
        """How many lines there are, and how many match."""
        with self._opened() as source:
            told = line_counting.count(
                source.read, self._size, COUNT_BYTES, Needle(request.filter), request.buckets
            )
        answer = logs_pb2.CountLogsResponse(
            whole=True,
            lines=told.lines,
            matches=told.matches,
            buckets=told.hits,
            cursors=(_cursor(_Place(byte=begin)) for begin in told.begins),
            unfinished=self._size > COUNT_BYTES,
        )
        if told.lines:
            answer.attempts[self._log.attempt] = told.lines
        return answer

    def _after(
        self, request: logs_pb2.QueryLogsRequest, source: _Source
    ) -> logs_pb2.QueryLogsResponse:
        place = self._place(request.cursor, after=True) if request.cursor else _BEGINNING
        if request.from_line:
            begin = self._index.begin_of(request.from_line, self._size, source.read)
            place = _Place(byte=begin, ends=request.from_line - 1 if begin < self._size else None)
        answer = logs_pb2.QueryLogsResponse(whole=True)
        answer.older_cursor = _cursor(place) if place.byte else ""
        needle = Needle(request.filter)
        lines = Lines(source.read, self._size, READ_BYTES, needle.may_be_in)
        ends = self._ends_before(place, source)
        if self._fill(answer, lines.after(place.byte, ends + 1), needle, request.page_size):
            last = self._place(answer.entries[-1].cursor, after=True)
        else:
            last = _Place(byte=lines.place, ends=lines.number - 1)
            answer.unfinished = last.byte < self._size
        answer.at_end = last.byte >= self._size
        answer.newer_cursor = _cursor(last)
        return answer

    def _before(
        self, request: logs_pb2.QueryLogsRequest, source: _Source
    ) -> logs_pb2.QueryLogsResponse:
        place = self._place(request.cursor) if request.cursor else _Place(byte=self._size)
        answer = logs_pb2.QueryLogsResponse(whole=True, newer_cursor=_cursor(place))
        answer.at_end = place.byte >= self._size
        needle = Needle(request.filter)
        lines = Lines(source.read, self._size, READ_BYTES, needle.may_be_in)
        ends = self._ends_before(place, source)
        if self._fill(answer, lines.before(place.byte, ends), needle, request.page_size):
            first = self._place(answer.entries[-1].cursor)
        else:
            first = _Place(byte=lines.place, ends=lines.number)
            answer.unfinished = first.byte > 0
        answer.entries.reverse()
        answer.older_cursor = _cursor(first) if first.byte > 0 else ""
        return answer

    def _ends_before(self, place: _Place, source: _Source) -> int:
        """Return how many lines there are before a place."""
        if place.ends is not None:
            return place.ends
        if place.byte < self._size or not self._size:
            return self._index.lines_before(place.byte, source.read)
        # The last line may have no end.
        more = int(source.read(self._size - 1, 1) != b"\n")
        if self._log.lines is not None:
            return self._log.lines + more
        return self._index.lines_before(self._size, source.read) + more

    def _fill(
        self,
        answer: logs_pb2.QueryLogsResponse,
        lines: Iterable[Line],
        needle: Needle,
        page_size: int,
    ) -> bool:
        """Add those that match; return True when the page is full."""
        size = 0
        for line in lines:
            text = line.data.decode(errors="replace").rstrip("\r")
            if not needle.found_in(text):
                continue
            told = log_pb2.LogLine(sequence=line.number, text=text, size_bytes=line.size)
            cursor = _cursor(_Place(byte=line.begin, ends=line.number - 1), line.end)
            answer.entries.append(entry(self._key, told, needle, cursor))
            size += len(answer.entries[-1].text)
            if len(answer.entries) == (page_size or _PAGE) or size >= PAGE_BYTES:
                return True
        return False

    @contextmanager
    def _opened(self) -> Iterator[_Source]:
        with closing(opened(self._artifacts, self._log.artifact, 0, self._log.named)) as file:
            yield _Source(self._artifacts, file, self._log.named)

    def _place(self, cursor: str, *, after: bool = False) -> _Place:
        """Return where the line of a cursor begins, or `after` it the next one."""
        try:
            form, begin, end, ends = cursor.split(":")
            if form == _FORM and 0 <= int(begin) <= int(end) <= self._size and int(ends or 0) >= 0:
                passes = after and begin != end
                return _Place(
                    byte=int(end if after else begin), ends=int(ends) + passes if ends else None
                )
        except ValueError:
            pass
        raise InvalidValue(
            f"cursor {cursor[:80]!r}: use a cursor of an answer as it is, for the same run, path and attempt"
        )


def _cursor(place: _Place, end: int | None = None) -> str:
    """Write a place, or the line that begins there and ends before byte `end`."""
    ends = "" if place.ends is None else place.ends
    return f"{_FORM}:{place.byte}:{place.byte if end is None else end}:{ends}"
