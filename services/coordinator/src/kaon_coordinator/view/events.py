"""A run's history, page by page, in either direction, filtered."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence

from kaon_coordinator.engine.state.paths import at_or_under
from kaon_coordinator.store.records import RunRecord
from kaon_coordinator.store.view_reads import ViewReads
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import history_pb2
from kaonapi.view.v1 import run_view_pb2

_PAGE = 100
# Events that one call reads at most.
READ_EVENTS = 20_000
_AT_ONCE = 1_000
KINDS = frozenset(
    field.name for field in history_pb2.HistoryEvent.DESCRIPTOR.oneofs_by_name["event"].fields
)


def page(
    reads: ViewReads, run: RunRecord, request: run_view_pb2.ListEventsRequest
) -> run_view_pb2.ListEventsResponse:
    """One page of events.

    Raises:
        InvalidValue: a kind or the page token is unknown.
    """
    checked_kinds(request.kinds)
    answer = run_view_pb2.ListEventsResponse()
    size = request.page_size or _PAGE
    for event in _read(reads, run, request):
        if _is_past(event, request):
            return answer
        answer.searched_seq = event.seq
        if _matches(event, request):
            answer.events.append(event)
        if len(answer.events) == size:
            break
    end = run.row.seq if request.oldest_first else 1
    if answer.searched_seq and answer.searched_seq != end:
        answer.next_page_token = base64.urlsafe_b64encode(
            str(answer.searched_seq).encode()
        ).decode()
    return answer


def checked_kinds(kinds: Sequence[str]) -> None:
    """Look whether there are such events.

    Raises:
        InvalidValue: one of the kinds is unknown.
    """
    if unknown := sorted(set(kinds) - KINDS):
        raise InvalidValue(
            f"kinds: there are no events {unknown[0]!r}; use {', '.join(sorted(KINDS))}"
        )


def matches(event: history_pb2.HistoryEvent, path: str, kinds: Sequence[str]) -> bool:
    """Whether an event is of one of the kinds (of any, when there are none), and about what is at or under a path."""
    kind = event.WhichOneof("event") or ""
    if kinds and kind not in kinds:
        return False
    return not path or any(at_or_under(each, path) for each in paths_of(event))


def paths_of(event: history_pb2.HistoryEvent) -> Iterator[str]:
    """Return what an event is about: paths of steps, blocks and cells; of the run itself none."""
    kind = event.WhichOneof("event")
    told = getattr(event, kind) if kind else event
    for name in ("path", "block", "scope"):
        if (path := getattr(told, name, "")) and isinstance(path, str):
            yield path
    if kind == "blocks_reset":
        yield from event.blocks_reset.paths
    elif kind == "definition_changed":
        yield from event.definition_changed.paths


def _read(
    reads: ViewReads, run: RunRecord, request: run_view_pb2.ListEventsRequest
) -> Iterator[history_pb2.HistoryEvent]:
    """Events from the page's first one on, at most as many as one call reads."""
    seq = _first(run, request)
    for _ in range(READ_EVENTS // _AT_ONCE):
        if request.oldest_first:
            events = reads.store.history(run.run_id, seq - 1, _AT_ONCE)
        else:
            events = reads.history_before(run.run_id, seq + 1, _AT_ONCE)
        if not events:
            return
        yield from events
        seq = events[-1].seq + (1 if request.oldest_first else -1)


def _first(run: RunRecord, request: run_view_pb2.ListEventsRequest) -> int:
    if request.page_token:
        try:
            seen = int(base64.urlsafe_b64decode(request.page_token.encode()).decode())
        except (binascii.Error, ValueError) as error:
            raise InvalidValue(
                f"page token {request.page_token[:80]!r}: use the next_page_token of an answer as it is"
            ) from error
        return seen + (1 if request.oldest_first else -1)
    return request.begin_seq or (1 if request.oldest_first else run.row.seq)


def _is_past(event: history_pb2.HistoryEvent, request: run_view_pb2.ListEventsRequest) -> bool:
    """Whether all further events are out of the times that are asked for. Clocks of owners may differ by a second."""
    slack = 1_000_000
    if request.oldest_first:
        return request.HasField("until") and event.time_us >= request.until.ToMicroseconds() + slack
    return request.HasField("from") and event.time_us < _from(request) - slack


def _from(request: run_view_pb2.ListEventsRequest) -> int:
    # "from" is a word of Python's.
    time_us: int = getattr(request, "from").ToMicroseconds()
    return time_us


def _matches(event: history_pb2.HistoryEvent, request: run_view_pb2.ListEventsRequest) -> bool:
    if request.HasField("from") and event.time_us < _from(request):
        return False
    if request.HasField("until") and event.time_us >= request.until.ToMicroseconds():
        return False
    return matches(event, request.path, request.kinds)
