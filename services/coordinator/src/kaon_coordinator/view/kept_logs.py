"""Archived lines of a run, from the database: page by page in either direction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kaon_coordinator.store.records import LogChunk
from kaon_coordinator.store.view_reads import ViewReads
from kaon_coordinator.view.log_lines import STREAM_NAMES, Needle, entry, in_bounds
from kaon_wire.errors import InvalidValue
from kaonapi.log.v1 import log_pb2
from kaonapi.view.v1 import logs_pb2

_PAGE = 500
_AT_ONCE = 200
# Chunks that one call reads at most.
READ_CHUNKS = 4_000
_NEWEST = 2**62
_FORM = "k"


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A line: its chunk, and its number in the chunk from 0."""

    chunk: int
    line: int

    def __str__(self) -> str:
        return f"{_FORM}:{self.chunk}:{self.line}"


# All lines are after it.
BEGINNING = _Place(chunk=0, line=-1)


def is_cursor(text: str) -> bool:
    """Whether a cursor is of archived lines."""
    return text.startswith(f"{_FORM}:")


def page(reads: ViewReads, request: logs_pb2.QueryLogsRequest) -> logs_pb2.QueryLogsResponse:
    """One page of lines. Blocks.

    Raises:
        InvalidValue: the cursor is none.
    """
    wish, size = request.filter, request.page_size or _PAGE
    place = _place(request.cursor) if request.cursor else None
    needle, walk = Needle(wish), _Walk(reads, wish, backwards=request.backwards)
    answer = logs_pb2.QueryLogsResponse()
    last, is_full = place, False
    for here, chunk, line in walk.lines(place):
        if len(answer.entries) == size:
            is_full = True
            break
        last = here
        if line.sequence < request.from_line:
            continue
        if in_bounds(line, wish) and needle.found_in(line.text):
            told = entry(chunk.key, line, needle, str(here))
            told.missing_before = _missing_before(chunk, line)
            answer.entries.append(told)
    answer.unfinished = walk.bounded and not is_full
    first = walk.first or place
    if request.backwards:
        answer.entries.reverse()
        answer.at_end = not request.cursor
        answer.older_cursor = str(last) if is_full or walk.bounded else ""
        answer.newer_cursor = str(first or BEGINNING)
    else:
        answer.at_end = not is_full and not walk.bounded
        answer.older_cursor = str(first or "")
        answer.newer_cursor = str(last or BEGINNING)
    return answer


def count(reads: ViewReads, request: logs_pb2.CountLogsRequest) -> logs_pb2.CountLogsResponse:
    """How many lines there are, and how many match. Blocks."""
    wish = request.filter
    needle, walk = Needle(wish), _Walk(reads, wish, backwards=False, most=10 * READ_CHUNKS)
    answer = logs_pb2.CountLogsResponse(
        missing=reads.lines_left_out(wish.run_id, wish.path, wish.attempt)
    )
    hits: list[bool] = []
    places: list[_Place] = []
    for here, chunk, line in walk.lines(None):
        if not in_bounds(line, wish):
            continue
        hits.append(bool(needle) and needle.found_in(line.text))
        places.append(here)
        answer.attempts[chunk.key.attempt] += 1
        answer.streams[STREAM_NAMES[line.stream]] += 1
    answer.lines, answer.matches, answer.unfinished = len(hits), sum(hits), walk.bounded
    for number in range(request.buckets if hits else 0):
        first, last = (len(hits) * each // request.buckets for each in (number, number + 1))
        answer.buckets.append(sum(hits[first:last]))
        answer.cursors.append(str(places[first - 1]) if first else str(BEGINNING))
    return answer


def tail(
    reads: ViewReads, run_id: str, path: str, attempt: int, lines: int
) -> tuple[list[log_pb2.LogLines], int]:
    """Return the newest lines as they were archived, and the newest chunk. Blocks."""
    found: list[log_pb2.LogLines] = []
    newest, before, rest = 0, _NEWEST, lines
    while rest > 0 and (
        chunks := reads.log_chunks(run_id, path, attempt, before=before, limit=_AT_ONCE)
    ):
        newest = newest or chunks[0].chunk_id
        for chunk in chunks:
            record = log_pb2.LogLines.FromString(chunk.payload)
            if len(record.lines) > rest:
                del record.lines[: len(record.lines) - rest]
            found.append(record)
            rest -= len(record.lines)
            if rest <= 0:
                break
        before = chunks[-1].chunk_id
    return found[::-1], newest


class _Walk:
    """Goes through the lines of a filter, one way or the other."""

    def __init__(
        self,
        reads: ViewReads,
        wish: logs_pb2.LogFilter,
        *,
        backwards: bool,
        most: int = READ_CHUNKS,
    ) -> None:
        self._reads = reads
        self._wish = wish
        self._backwards = backwards
        self._most = most
        self._record: tuple[int, log_pb2.LogLines] = (0, log_pb2.LogLines())
        # True: there may be more lines than were read.
        self.bounded = False
        # The first line that was met.
        self.first: _Place | None = None

    def record(self, chunk: LogChunk) -> log_pb2.LogLines:
        """Return the lines of a chunk."""
        if self._record[0] != chunk.chunk_id:
            self._record = chunk.chunk_id, log_pb2.LogLines.FromString(chunk.payload)
        return self._record[1]

    def lines(self, place: _Place | None) -> Iterator[tuple[_Place, LogChunk, log_pb2.LogLine]]:
        """Lines after a place, or backwards before it."""
        for chunk in self._chunks(place):
            lines = list(enumerate(self.record(chunk).lines))
            for number, line in reversed(lines) if self._backwards else lines:
                here = _Place(chunk=chunk.chunk_id, line=number)
                if place is None or self._is_past(place, here):
                    self.first = self.first or here
                    yield here, chunk, line

    def _is_past(self, place: _Place, here: _Place) -> bool:
        if here.chunk != place.chunk:
            return True
        return here.line < place.line if self._backwards else here.line > place.line

    def _chunks(self, place: _Place | None) -> Iterator[LogChunk]:
        wish, at = self._wish, self._begin(place)
        for _ in range(self._most // _AT_ONCE):
            bounds = {"before": at} if self._backwards else {"after": max(at, 0)}
            chunks = self._reads.log_chunks(
                wish.run_id, wish.path, wish.attempt, limit=_AT_ONCE, **bounds
            )
            yield from chunks
            if len(chunks) < _AT_ONCE:
                return
            at = chunks[-1].chunk_id
        self.bounded = True

    def _begin(self, place: _Place | None) -> int:
        # The chunk of the place itself may have further lines.
        if self._backwards:
            return _NEWEST if place is None else place.chunk + 1
        return 0 if place is None else place.chunk - 1


def _missing_before(chunk: LogChunk, line: log_pb2.LogLine) -> int:
    """Lines right before the first one of a tail that are not kept."""
    if chunk.left_out is None:
        return 0
    first, last = chunk.left_out
    return last - first + 1 if line.sequence == last + 1 and last >= first else 0


def _place(cursor: str) -> _Place:
    try:
        form, chunk, line = cursor.split(":")
        if form == _FORM:
            return _Place(chunk=int(chunk), line=int(line))
    except ValueError:
        pass
    raise InvalidValue(
        f"cursor {cursor[:80]!r}: use a cursor of an answer as it is, for the same run, path and attempt"
    )
