"""The whole log of an attempt, from the artifact that its runner stored: page by page in either direction, and searched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
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
            cursors=(_cursor(begin, begin) for begin in told.begins),
            unfinished=self._size > COUNT_BYTES,
        )
        if told.lines:
            answer.attempts[self._log.attempt] = told.lines
        return answer

    def _after(
        self, request: logs_pb2.QueryLogsRequest, source: _Source
    ) -> logs_pb2.QueryLogsResponse:
        place = self._place(request.cursor)[1] if request.cursor else 0
        if request.from_line:
            place = self._index.begin_of(request.from_line, self._size, source.read)
        answer = logs_pb2.QueryLogsResponse(whole=True)
        answer.older_cursor = _cursor(place, place) if place else ""
        needle = Needle(request.filter)
        lines = Lines(source.read, self._size, READ_BYTES, needle.may_be_in)
        number = self._index.lines_before(place, source.read) + 1
        if self._fill(answer, lines.after(place, number), needle, request.page_size):
            last = self._place(answer.entries[-1].cursor)[1]
        else:
            last = lines.place
            answer.unfinished = last < self._size
        answer.at_end = last >= self._size
        answer.newer_cursor = _cursor(last, last)
        return answer

    def _before(
        self, request: logs_pb2.QueryLogsRequest, source: _Source
    ) -> logs_pb2.QueryLogsResponse:
        place = self._place(request.cursor)[0] if request.cursor else self._size
        answer = logs_pb2.QueryLogsResponse(whole=True, newer_cursor=_cursor(place, place))
        answer.at_end = place >= self._size
        needle = Needle(request.filter)
        lines = Lines(source.read, self._size, READ_BYTES, needle.may_be_in)
        number = self._index.lines_before(place, source.read)
        if place and source.read(place - 1, 1) != b"\n":
            # The last line has no end.
            number += 1
        if self._fill(answer, lines.before(place, number), needle, request.page_size):
            first = self._place(answer.entries[-1].cursor)[0]
        else:
            first = lines.place
            answer.unfinished = first > 0
        answer.entries.reverse()
        answer.older_cursor = _cursor(first, first) if first > 0 else ""
        return answer

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
            answer.entries.append(entry(self._key, told, needle, _cursor(line.begin, line.end)))
            size += len(answer.entries[-1].text)
            if len(answer.entries) == (page_size or _PAGE) or size >= PAGE_BYTES:
                return True
        return False

    @contextmanager
    def _opened(self) -> Iterator[_Source]:
        with closing(opened(self._artifacts, self._log.artifact, 0, self._log.named)) as file:
            yield _Source(self._artifacts, file, self._log.named)

    def _place(self, cursor: str) -> tuple[int, int]:
        """Where the line of a cursor begins, and the one after it."""
        try:
            form, begin, end = cursor.split(":")
            if form == _FORM and 0 <= int(begin) <= int(end) <= self._size:
                return int(begin), int(end)
        except ValueError:
            pass
        raise InvalidValue(
            f"cursor {cursor[:80]!r}: use a cursor of an answer as it is, for the same run, path and attempt"
        )


def _cursor(begin: int, end: int) -> str:
    return f"{_FORM}:{begin}:{end}"
