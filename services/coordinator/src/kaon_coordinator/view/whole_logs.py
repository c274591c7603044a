"""The whole log of an attempt, from the artifact that its runner stored: page by page in either direction, and searched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import IO, Any

from kaon_artifacts import ArtifactStore
from kaon_coordinator.api.pieces import opened, piece
from kaon_coordinator.api.whole_log import StoredLog
from kaon_coordinator.view.log_lines import Needle, entry
from kaon_wire.errors import InvalidValue
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.view.v1 import logs_pb2

_PAGE = 500
_BLOCK_BYTES = 256 * 1024
# Bytes that one call reads at most: of a page, and of a count.
READ_BYTES = 64 * 1024 * 1024
COUNT_BYTES = 2 * 1024 * 1024 * 1024
# Of one line; the rest of it is passed over.
_LINE_BYTES = 1024 * 1024
_FORM = "w"


def is_cursor(text: str) -> bool:
    """Whether a cursor is of a whole log."""
    return text.startswith(f"{_FORM}:")


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

    def page(self, request: logs_pb2.QueryLogsRequest) -> logs_pb2.QueryLogsResponse:
        """One page of lines.

        Raises:
            InvalidValue: the cursor is none.
            NotFound: the artifact is gone.
        """
        if request.backwards:
            return self._before(
                request, self._place(request.cursor)[0] if request.cursor else self._size
            )
        return self._after(request, self._place(request.cursor)[1] if request.cursor else 0)

    def count(self, request: logs_pb2.CountLogsRequest) -> logs_pb2.CountLogsResponse:
        """How many lines there are, and how many match."""
        needle, answer = Needle(request.filter), logs_pb2.CountLogsResponse(whole=True)
        buckets = request.buckets
        hits, edges = [0] * buckets, [-1] * buckets
        for offset, line, _ in self._lines(0, COUNT_BYTES):
            answer.lines += 1
            bucket = min(offset * buckets // max(self._size, 1), buckets - 1)
            if buckets and edges[bucket] < 0:
                edges[bucket] = offset
            if needle and needle.found_in(line.decode(errors="replace")):
                answer.matches += 1
                if buckets:
                    hits[bucket] += 1
        answer.buckets.extend(hits)
        answer.cursors.extend(_cursor(max(edge, 0), max(edge, 0)) for edge in edges)
        if answer.lines:
            answer.attempts[self._log.attempt] = answer.lines
        answer.unfinished = self._size > COUNT_BYTES
        return answer

    def _after(self, request: logs_pb2.QueryLogsRequest, place: int) -> logs_pb2.QueryLogsResponse:
        needle, size = Needle(request.filter), request.page_size or _PAGE
        answer = logs_pb2.QueryLogsResponse(whole=True, older_cursor=_cursor(place, place))
        last = place
        for begin, line, end in self._lines(place, READ_BYTES):
            if len(answer.entries) == size:
                break
            last = end
            self._add(answer, begin, line, end, needle)
        else:
            answer.at_end = last >= self._size
            answer.unfinished = not answer.at_end
        answer.newer_cursor = _cursor(last, last)
        return answer

    def _before(self, request: logs_pb2.QueryLogsRequest, place: int) -> logs_pb2.QueryLogsResponse:
        needle, size = Needle(request.filter), request.page_size or _PAGE
        answer = logs_pb2.QueryLogsResponse(whole=True, newer_cursor=_cursor(place, place))
        answer.at_end = place >= self._size
        first = place
        for begin, line, end in self._lines_before(place):
            if len(answer.entries) == size:
                break
            first = begin
            self._add(answer, begin, line, end, needle)
        else:
            answer.unfinished = first > 0
        answer.entries.reverse()
        answer.older_cursor = _cursor(first, first) if first > 0 else ""
        return answer

    def _add(
        self, answer: logs_pb2.QueryLogsResponse, begin: int, line: bytes, end: int, needle: Needle
    ) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        if needle.found_in(text):
            told = log_pb2.LogLine(text=text)
            answer.entries.append(entry(self._key, told, needle, _cursor(begin, end)))

    def _lines(self, place: int, most: int) -> Iterator[tuple[int, bytes, int]]:
        """Lines from a byte on, each with the bytes at which it and the next one begin, until so many bytes have been read."""
        with closing(opened(self._artifacts, self._log.artifact, place, self._log.named)) as source:
            begin, rest, read = place, b"", 0
            while read < most and (data := piece(self._artifacts, source, self._log.named)):
                read += len(data)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    yield begin, line, begin + len(line) + 1
                    begin += len(line) + 1
                if len(rest) > _LINE_BYTES:
                    yield begin, rest, begin + len(rest)
                    begin, rest = begin + len(rest), b""
            if rest and read < most:
                yield begin, rest, begin + len(rest)

    def _lines_before(self, place: int) -> Iterator[tuple[int, bytes, int]]:
        """Lines before the byte at which a line begins, the last one first, until so many bytes have been read."""
        with closing(opened(self._artifacts, self._log.artifact, 0, self._log.named)) as source:
            # `rest` is the end of a line whose beginning has not been read; `after` is where the line after it begins.
            begin, after, rest = place, place, b""
            if place and self._part(source, place - 1, 1) == b"\n":
                begin -= 1
            stop = begin - READ_BYTES
            while begin > max(stop, 0):
                size = min(_BLOCK_BYTES, begin)
                begin -= size
                rest, *lines = (self._part(source, begin, size) + rest).split(b"\n")
                at = begin + len(rest) + sum(len(line) + 1 for line in lines)
                for line in reversed(lines):
                    at -= len(line)
                    yield at, line, after
                    after, at = at, at - 1
                if len(rest) > _LINE_BYTES:
                    yield begin, rest, after
                    after, rest = begin, b""
            if begin == 0 and after > 0:
                yield 0, rest, after

    def _part(self, source: IO[bytes] | Any, begin: int, size: int) -> bytes:
        with self._artifacts.talking():
            source.seek(begin)
            return bytes(source.read(size))

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
