"""The topics of a watch: how each stands, or what has changed in it since a cursor. Every method blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import StepState
from kaon_coordinator.store.records import RunRecord
from kaon_coordinator.view import cell_rows, events, kept_logs, run_lines, run_view
from kaon_coordinator.view.answers import outlined
from kaon_coordinator.view.cells import Look, block_at, cell_of, look_at, packed
from kaon_coordinator.view.live_run import LiveRun
from kaon_coordinator.view.parts import ViewParts
from kaon_coordinator.view.states import newest_seq
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.view.v1 import run_view_pb2, runs_pb2, watch_pb2

_RUNS = 50
_MOST_RUNS = 500
_EVENTS = 100
_MOST_EVENTS = 1_000
_TAIL = 500
# Lines travel apart from events: those of the last moments may come up to this long after the run's end.
_SETTLE_US = 1_500_000
# A look folds what has happened for so long at most, and tells how far it has come: what comes all at once, as when a large foreach
# begins, takes many times as long as the usual look.
_FOLD_SECONDS = 0.03


@dataclass(frozen=True, kw_only=True)
class News:
    """What the hub knows at the moment, and the topic does not read."""

    # This life of the hub, and its newest tick.
    life: str
    tick: int
    # By path of a step: its progress since the cursor.
    progress: dict[str, run_pb2.StepView]
    # Runs that have changed since the cursor; None when that is not known.
    changed: frozenset[str] | None = None


class Topic(ABC):
    """One kind of topic, for one tenant."""

    # Whether it follows one run.
    run_id: str = ""
    # Whether it must be looked at although no run has changed.
    polled: bool = False
    # Whether the last look has told less than what is known to have happened.
    behind: bool = False

    @abstractmethod
    def look(self, parts: ViewParts, cursor: str, news: News) -> watch_pb2.WatchResponse | None:
        """Return the topic since a cursor; None when nothing has changed.

        Raises:
            KaonError: it cannot be followed.
        """


def topic_of(tenant: str, wish: watch_pb2.Topic) -> Topic:
    """Return what a request names."""
    kind = wish.WhichOneof("topic")
    if kind == "run":
        return _Run(tenant, wish.run)
    if kind == "cells":
        return _Cells(tenant, wish.cells)
    if kind == "events":
        return _Events(tenant, wish.events)
    if kind == "logs":
        return _Logs(tenant, wish.logs)
    return _Runs(tenant, wish.runs)


class _Runs(Topic):
    def __init__(self, tenant: str, wish: watch_pb2.RunsTopic) -> None:
        self._tenant = tenant
        self._wish = wish

    def look(self, parts: ViewParts, cursor: str, news: News) -> watch_pb2.WatchResponse | None:
        told = watch_pb2.WatchResponse(cursor=f"{news.life}:{news.tick}")
        if not cursor or news.changed is None or len(news.changed) > _MOST_RUNS:
            told.snapshot = True
            told.runs.runs.extend(self._newest(parts))
            return told
        if not news.changed:
            return None
        own = parts.reads.runs_of(self._tenant, news.changed)
        found = self._matching(parts, {record.run_id for record in own})
        told.runs.runs.extend(run_lines.lines(found))
        matching = {record.run_id for record in found}
        told.runs.removed.extend(
            sorted(record.run_id for record in own if record.run_id not in matching)
        )
        return told if own else None

    def _newest(self, parts: ViewParts) -> list[runs_pb2.RunLine]:
        wanted = self._wish.page_size or _RUNS
        return run_lines.lines(parts.reads.newest_runs(self._tenant, self._wish.filter, wanted))

    def _matching(self, parts: ViewParts, run_ids: set[str]) -> list[RunRecord]:
        wish = runs_pb2.RunFilter()
        wish.CopyFrom(self._wish.filter)
        wanted = run_ids & set(wish.run_ids) if wish.run_ids else run_ids
        if not wanted:
            return []
        del wish.run_ids[:]
        wish.run_ids.extend(sorted(wanted))
        return list(parts.reads.query_runs(self._tenant, wish, page_size=len(wanted)).runs)


class _Run(Topic):
    def __init__(self, tenant: str, wish: watch_pb2.RunTopic) -> None:
        self.run_id = wish.run_id
        self._tenant = tenant
        self._wish = run_view.Wish(
            scope=wish.scope, iterations=wish.iterations or run_view.ITERATIONS
        )

    def look(self, parts: ViewParts, cursor: str, news: News) -> watch_pb2.WatchResponse | None:
        run = parts.states.watched(self._tenant, self.run_id)
        seq, self.behind = _seq(cursor), False
        if not self._wish.scope and seq != run.row.seq and parts.states.is_slow(run):
            whole = outlined(parts, run, self._wish)
            run_view.add_progress(whole, news.progress)
            told = f"{whole.run.last_seq}:{news.life}:{news.tick}"
            return watch_pb2.WatchResponse(cursor=told, snapshot=True, run=whole)
        with parts.states.newest(run, seconds=_FOLD_SECONDS, least=seq or 0) as live:
            self.behind = live.state.seq < newest_seq(run, live)
            view = run_view.changes(run, live, self._wish, seq) if seq is not None else None
            snapshot = view is None
            if view is None:
                view = run_view.show(run, live, self._wish)
            elif live.state.seq == seq and not news.progress:
                return None
            self._add_progress(view, live, news, snapshot=snapshot)
            return watch_pb2.WatchResponse(
                cursor=f"{live.state.seq}:{news.life}:{news.tick}", snapshot=snapshot, run=view
            )

    def _add_progress(
        self, view: run_view_pb2.RunView, live: LiveRun, news: News, *, snapshot: bool
    ) -> None:
        if not snapshot:
            told = {step.path for step in view.steps}
            running = (live.state.steps.get(path) for path in sorted(news.progress.keys() - told))
            steps = [step for step in running if step is not None and self._shows(step)]
            view.steps.extend(map(run_view.shown_step, steps))
        run_view.add_progress(view, news.progress)

    def _shows(self, step: StepState) -> bool:
        return step.status in t.AT_WORK and run_view.is_outside(step.path, self._wish.scope)


class _Cells(Topic):
    def __init__(self, tenant: str, wish: watch_pb2.CellsTopic) -> None:
        self.run_id = wish.run_id
        self._tenant = tenant
        self._look = Look(block=wish.block, node=wish.node, metric=wish.metric)

    def look(self, parts: ViewParts, cursor: str, news: News) -> watch_pb2.WatchResponse | None:
        run = parts.states.watched(self._tenant, self.run_id)
        seq, self.behind = _seq(cursor), False
        is_slow = seq != run.row.seq and parts.states.is_slow(run)
        if is_slow and cell_rows.can_show(self._look, parts.states.workflow(run)):
            return self._outlined(parts, run)
        with parts.states.newest(run, seconds=_FOLD_SECONDS, least=seq or 0) as live:
            self.behind = live.state.seq < newest_seq(run, live)
            if self.behind and self._look.block not in live.state.blocks:
                return None
            block = block_at(live.state, self._look.block)
            indexes = None if seq is None else self._changed(live, seq)
            if indexes is not None and not indexes:
                return None
            total = max(block.count, len(block.cells))
            chosen = range(total) if indexes is None else sorted(indexes)
            columns = packed(
                (look_at(block, index, self._look) for index in chosen),
                metric=bool(self._look.metric),
                consecutive=indexes is None,
            )
            return watch_pb2.WatchResponse(
                cursor=str(live.state.seq),
                snapshot=indexes is None,
                cells=watch_pb2.CellsUpdate(seq=live.state.seq, total=total, columns=columns),
            )

    def _outlined(self, parts: ViewParts, run: RunRecord) -> watch_pb2.WatchResponse:
        """Return the cells of a large run from its rows; while it goes on, its state is read meanwhile."""
        rows = parts.reads.cell_rows(self.run_id, self._look.block)
        if run.row.status not in t.TERMINAL:
            parts.threads.later(parts.states.warm, run, parts.threads.give_way)
        columns = packed(cell_rows.looks(rows, self._look), metric=False, consecutive=True)
        told = watch_pb2.CellsUpdate(seq=rows.seq, total=columns.count, columns=columns)
        return watch_pb2.WatchResponse(cursor=str(rows.seq), snapshot=True, cells=told)

    def _changed(self, live: LiveRun, seq: int) -> set[int] | None:
        """Cells that have changed; None when all must be told: that is not known any more, or cells are gone, or all are new."""
        block = self._look.block
        changed = live.since(seq)
        if changed is None or any(key.startswith(f"{block}[") for key in changed.dropped):
            return None
        if block in changed.blocks and not live.state.blocks[block].cells:
            return None
        found = (cell_of(live.state, key, block) for key in changed.steps | changed.blocks)
        return {index for index in found if index is not None}


class _Events(Topic):
    def __init__(self, tenant: str, wish: watch_pb2.EventsTopic) -> None:
        self.run_id = wish.run_id
        self._tenant = tenant
        self._path = wish.path
        self._kinds = tuple(wish.kinds)
        events.checked_kinds(self._kinds)

    def look(self, parts: ViewParts, cursor: str, news: News) -> watch_pb2.WatchResponse | None:
        run = parts.reads.store.get_run(self._tenant, self.run_id)
        seq = _seq(cursor)
        snapshot = seq is None or seq > run.row.seq or run.row.seq - seq > _MOST_EVENTS
        if snapshot:
            wish = run_view_pb2.ListEventsRequest(
                path=self._path, kinds=self._kinds, page_size=_EVENTS
            )
            found = list(reversed(events.page(parts.reads, run, wish).events))
            newest = run.row.seq
        else:
            assert seq is not None
            fresh = parts.reads.store.history(self.run_id, seq, _MOST_EVENTS)
            if not fresh:
                return None
            newest = fresh[-1].seq
            found = [event for event in fresh if self._matches(event)]
        told = watch_pb2.EventsUpdate(events=found, newest_seq=newest)
        return watch_pb2.WatchResponse(cursor=str(newest), snapshot=snapshot, events=told)

    def _matches(self, event: history_pb2.HistoryEvent) -> bool:
        return events.matches(event, self._path, self._kinds)


class _Logs(Topic):
    def __init__(self, tenant: str, wish: watch_pb2.LogsTopic) -> None:
        self.run_id = wish.run_id
        self.polled = True
        self._tenant = tenant
        self._wish = wish
        # When the run was first seen at its end without further lines; 0 before.
        self._quiet_us = 0

    def look(self, parts: ViewParts, cursor: str, news: News) -> watch_pb2.WatchResponse | None:
        # First: when the run has ended, what is read then is all there is but the lines of the last moments.
        run = parts.reads.store.get_run(self._tenant, self.run_id)
        wish = self._wish
        if not cursor.isdigit():
            tail = wish.tail or _TAIL
            lines, newest = kept_logs.tail(parts.reads, self.run_id, wish.path, wish.attempt, tail)
            told = watch_pb2.LogsUpdate(lines=lines)
            return watch_pb2.WatchResponse(cursor=str(newest), snapshot=True, logs=told)
        chunks = parts.reads.log_chunks(self.run_id, wish.path, wish.attempt, after=int(cursor))
        ended = not chunks and run.row.status in t.TERMINAL
        self._quiet_us = (self._quiet_us or parts.now_us()) if ended else 0
        if chunks:
            self.polled = True
            lines = [log_pb2.LogLines.FromString(each.payload) for each in chunks]
            told = watch_pb2.LogsUpdate(lines=lines)
            return watch_pb2.WatchResponse(cursor=str(chunks[-1].chunk_id), logs=told)
        if ended and self.polled and parts.now_us() - self._quiet_us >= _SETTLE_US:
            # It is looked at again when the run changes: a retry opens it.
            self.polled = False
            return watch_pb2.WatchResponse(cursor=cursor, logs=watch_pb2.LogsUpdate(ended=True))
        self.polled = self.polled or not ended
        return None


def _seq(cursor: str) -> int | None:
    """Return the event up to which a cursor knows a run."""
    text = cursor.split(":", 1)[0]
    return int(text) if text.isdigit() and len(text) < 19 else None


def cursor_tick(cursor: str, life: str) -> int:
    """Return the tick up to which a cursor knows progress and runs; -1 when it is of another life of the hub."""
    *_, told_life, tick = ("", "", *cursor.split(":"))
    return int(tick) if told_life == life and tick.isdigit() else -1
