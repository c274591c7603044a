"""Spans as packed columns, thinned to what can be drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.paths import at_or_under
from kaon_coordinator.view.columns import Clock, u8, u16, u32
from kaon_coordinator.view.spans import NO_RUNNER, Spans, until
from kaonapi.view.v1 import run_view_pb2

_MOST = 200_000
# The worst one first: how a merged span ended.
_WORST = (
    t.FAILED,
    t.TIMED_OUT,
    t.QUARANTINED,
    t.CANCELLED,
    t.PENDING,
    t.RUNNING,
    t.READY,
    t.SKIPPED,
    t.SUCCEEDED,
)
_RANK = {int(status): rank for rank, status in enumerate(_WORST)}


@dataclass(slots=True, kw_only=True)
class _Span:
    """One span, or several that are drawn as one."""

    number: int
    node: int
    ready: int
    leased: int
    end: int
    outcome: int
    leased_seq: int
    end_seq: int
    merged: int = 1

    def add(self, other: _Span) -> None:
        """Take another one in, which began later."""
        if _RANK.get(other.outcome, 0) < _RANK.get(self.outcome, 0):
            self.outcome = other.outcome
        self.leased = (
            min(self.leased, other.leased)
            if self.leased and other.leased
            else self.leased or other.leased
        )
        open_ended = not self.end or not other.end
        self.end = 0 if open_ended else max(self.end, other.end)
        self.end_seq = 0 if open_ended else max(self.end_seq, other.end_seq)
        self.merged += other.merged


def page(
    spans: Spans, request: run_view_pb2.GetSpansRequest, seq: int
) -> run_view_pb2.GetSpansResponse:
    """Return the spans that a request wants, up to an event; 0 means all."""
    from_us, until_us = _between(spans, request)
    chosen = [
        span
        for number in until(spans, seq)
        if (span := _at(spans, number, seq)).ready < until_us
        and (span.end or spans.newest_us) >= from_us
    ]
    chosen = _of_path(spans, chosen, request.path)
    most = request.max_spans or _MOST
    thinned = merged = False
    if request.pixels or len(chosen) > most:
        width = max((until_us - from_us) // (request.pixels or 2_000), 1)
        before = len(chosen)
        if request.pixels:
            chosen = _merged(chosen, from_us, width, only_within=True)
        while len(chosen) > most:
            chosen, thinned = _merged(chosen, from_us, width, only_within=False), True
            if width > until_us - from_us:
                break
            width *= 2
        merged = len(chosen) < before
    return _packed(spans, chosen, seq or spans.seq, merged=merged, thinned=thinned)


def _between(spans: Spans, request: run_view_pb2.GetSpansRequest) -> tuple[int, int]:
    return request.from_us or spans.first_us, request.until_us or spans.newest_us + 1


def _at(spans: Spans, number: int, seq: int) -> _Span:
    """Return a span as it was after an event."""
    leased_seq, end_seq = spans.leased_seq[number], spans.end_seq[number]
    leased = spans.leased[number] if leased_seq and (not seq or leased_seq <= seq) else 0
    ended = end_seq and (not seq or end_seq <= seq)
    return _Span(
        number=number,
        node=spans.node[number],
        ready=spans.ready[number],
        leased=leased,
        end=spans.end[number] if ended else 0,
        outcome=spans.outcome[number] if ended else (t.RUNNING if leased else t.READY),
        leased_seq=leased_seq if leased else 0,
        end_seq=end_seq if ended else 0,
    )


def _of_path(spans: Spans, chosen: list[_Span], path: str) -> list[_Span]:
    if not path:
        return chosen
    numbers = {
        number
        for each in spans.paths()
        if at_or_under(each, path)
        for number in spans.of_step(each)
    }
    return [span for span in chosen if span.number in numbers]


def _merged(chosen: Iterable[_Span], from_us: int, width: int, *, only_within: bool) -> list[_Span]:
    """Make one of all spans of a node that begin in the same pixel, or with `only_within` that lie within it."""
    found: list[_Span] = []
    first: dict[tuple[int, int], _Span] = {}
    for span in chosen:
        pixel = (span.ready - from_us) // width
        if only_within and (not span.end or (span.end - from_us) // width != pixel):
            found.append(span)
            continue
        same = first.setdefault((span.node, pixel), span)
        if same is span:
            found.append(span)
        else:
            same.add(span)
    return found


def _packed(
    spans: Spans, chosen: list[_Span], seq: int, *, merged: bool, thinned: bool
) -> run_view_pb2.GetSpansResponse:
    clock = Clock([at for span in chosen for at in (span.ready, span.leased, span.end)])
    ready_seqs = [spans.ready_seq[span.number] for span in chosen]
    pairs = list(zip(chosen, ready_seqs, strict=True))
    steps = {spans.step[span.number] for span in chosen}
    changes = [
        number
        for number, step in enumerate(spans.change_step)
        if step in steps and (not seq or spans.change_seq[number] <= seq)
    ]
    return run_view_pb2.GetSpansResponse(
        seq=seq,
        count=len(chosen),
        nodes=spans.nodes,
        node=u16(span.node for span in chosen),
        blocks=spans.blocks,
        cell=u32(spans.cell[span.number] for span in chosen),
        base_us=clock.base_us,
        unit_us=clock.unit_us,
        ready=clock.pack(span.ready for span in chosen),
        leased=clock.pack(span.leased for span in chosen),
        end=clock.pack(span.end for span in chosen),
        outcome=u8(span.outcome for span in chosen),
        attempt=u8(spans.attempt[span.number] for span in chosen),
        runner=u16(spans.runner[span.number] if span.leased else NO_RUNNER for span in chosen),
        runners=spans.runners,
        merged=u32(span.merged for span in chosen) if merged else b"",
        end_seq=u32(span.end_seq - first if span.end_seq else 0 for span, first in pairs),
        ready_seq=u32(ready_seqs),
        leased_seq=u32(span.leased_seq - first if span.leased_seq else 0 for span, first in pairs),
        thinned=thinned,
        step=u32(spans.step[span.number] for span in chosen),
        change_seq=u32(spans.change_seq[number] for number in changes),
        change_step=u32(spans.change_step[number] for number in changes),
        change_status=u8(spans.change_status[number] for number in changes),
    )
