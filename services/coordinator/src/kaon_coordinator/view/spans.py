"""The attempts of a run, folded from its history: when each became ready, was leased and ended, and by which events."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable, Iterator

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.records import RunRecord
from kaon_coordinator.store.view_reads import ViewReads
from kaon_coordinator.view.folding import folded
from kaon_coordinator.view.recent import Recent
from kaonapi.run.v1 import history_pb2

NO_RUNNER = 65_535
_PAGE = 1_000
# Spans that are kept in memory, of all runs together.
_MOST_SPANS = 500_000


class Spans:
    """All attempts of one run, in order of `ready_seq`: arrays of equal length. Hold `lock` while you look at them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        # The newest event that is folded, and when it was.
        self.seq = 0
        self.newest_us = 0
        self.first_us = 0
        # Places of steps in the definition, or paths of steps outside of foreach cells; and the outermost foreach of each.
        self.nodes: list[str] = []
        self.blocks: list[str] = []
        self.runners: list[str] = []
        self.node = array("H")
        self.cell = array("L")
        self.attempt = array("L")
        self.runner = array("H")
        self.outcome = array("B")
        # Microseconds since the epoch, 0 when they have not come.
        self.ready, self.leased, self.end = array("q"), array("q"), array("q")
        self.ready_seq, self.leased_seq, self.end_seq = array("q"), array("q"), array("q")
        # Number of the step of each span, in order of their first spans.
        self.step = array("L")
        # What else changed the status of a step, in order of the events: 0 stands for a reset.
        self.change_seq, self.change_step = array("q"), array("L")
        self.change_status = array("B")
        # The span before of the same step; -1 for none.
        self._before = array("q")
        # By path of the step: its last span, and the events of its metrics.
        self._last: dict[str, int] = {}
        self._reports: dict[str, array[int]] = {}
        # Steps whose holder was asked to stop, and steps that were reset and have not begun again.
        self._stopping: set[str] = set()
        # Steps that serve others, as long as their span lasts.
        self._serving: set[str] = set()
        self._reset: set[str] = set()
        # By path of a foreach: the index of each cell by its path.
        self._cells: dict[str, int] = {}
        self._node_numbers: dict[tuple[str, str], int] = {}
        self._runner_numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.ready)

    def paths(self) -> Iterable[str]:
        """Paths of all steps that have spans."""
        return self._last

    def of_step(self, path: str) -> list[int]:
        """Numbers of the spans of one step, the oldest first."""
        found, number = [], self._last.get(path, -1)
        while number >= 0:
            found.append(number)
            number = self._before[number]
        return found[::-1]

    def reports(self, path: str) -> list[int]:
        """Return the events with which a step has reported metrics."""
        return list(self._reports.get(path, ()))

    def fold(self, events: Iterable[history_pb2.HistoryEvent]) -> None:
        """Take in the next events."""
        for event in events:
            self.seq, self.newest_us = event.seq, event.time_us
            self.first_us = self.first_us or event.time_us
            kind = event.WhichOneof("event")
            if kind == "step_became_ready":
                self._ready(event)
            elif kind == "step_leased":
                self._leased(event)
            elif kind == "step_stop_requested":
                self._stopping.add(event.step_stop_requested.path)
                self._change(event.step_stop_requested.path, event, t.CANCELLING)
            elif kind == "step_serving":
                self._serving.add(event.step_serving.path)
                self._change(event.step_serving.path, event, t.SERVING)
            elif kind == "step_ended":
                self._ended(event)
            elif kind == "step_retry_scheduled":
                self._end(event.step_retry_scheduled.path, event, t.FAILED)
                self._change(event.step_retry_scheduled.path, event, t.PENDING)
            elif kind == "step_lease_lost":
                self._lost(event)
            elif kind == "blocks_reset":
                self._reset_under(event)
            elif kind == "step_reported" and event.step_reported.HasField("metric"):
                self._reports.setdefault(event.step_reported.path, array("q")).append(event.seq)
            elif kind == "cell_started":
                self._cell(event.cell_started)

    def inherit(self, events: Iterable[history_pb2.HistoryEvent]) -> None:
        """Take in events of the run that this one was forked from: which cells there are."""
        for event in events:
            if event.HasField("cell_started"):
                self._cell(event.cell_started)

    def _ready(self, event: history_pb2.HistoryEvent) -> None:
        told = event.step_became_ready
        number = self._last.get(told.path, -1)
        if number >= 0 and not self.end[number]:
            # Asked for again, under another generation: what was not taken goes on waiting.
            self._end(told.path, event, t.PENDING)
        block, place = folded(told.path) or ("", told.path)
        self.node.append(self._node(block, place))
        self.cell.append(self._cell_index(told.path, block))
        self.attempt.append(told.attempt)
        self.runner.append(NO_RUNNER)
        self.outcome.append(t.READY)
        self.ready.append(event.time_us)
        self.ready_seq.append(event.seq)
        for column in (self.leased, self.end, self.leased_seq, self.end_seq):
            column.append(0)
        self._before.append(number)
        self.step.append(self.step[number] if number >= 0 else len(self._last))
        self._stopping.discard(told.path)
        self._serving.discard(told.path)
        self._reset.discard(told.path)
        self._last[told.path] = len(self.ready) - 1

    def _leased(self, event: history_pb2.HistoryEvent) -> None:
        number = self._last.get(event.step_leased.path, -1)
        if number < 0 or self.end[number]:
            return
        self.leased[number], self.leased_seq[number] = event.time_us, event.seq
        self.outcome[number] = t.RUNNING
        self.runner[number] = self._runner(event.step_leased.runner_id)

    def _end(self, path: str, event: history_pb2.HistoryEvent, outcome: int) -> None:
        number = self._last.get(path, -1)
        if number < 0 or self.end[number]:
            return
        self.end[number], self.end_seq[number] = event.time_us, event.seq
        self.outcome[number] = outcome

    def _ended(self, event: history_pb2.HistoryEvent) -> None:
        told = event.step_ended
        if self._is_open(told.path):
            self._end(told.path, event, told.status)
        elif told.path not in self._reset:
            self._change(told.path, event, told.status)

    def _lost(self, event: history_pb2.HistoryEvent) -> None:
        path = event.step_lease_lost.path
        if not self._is_open(path):
            return
        stays = self._status_now(path)
        self._end(path, event, t.PENDING)
        self._change(path, event, stays)

    def _status_now(self, path: str) -> int:
        """Return the status of a step whose last span is open."""
        if path in self._stopping:
            return t.CANCELLING
        if path in self._serving:
            return t.SERVING
        return t.RUNNING if self.leased[self._last[path]] else t.READY

    def _reset_under(self, event: history_pb2.HistoryEvent) -> None:
        places = set(event.blocks_reset.paths)
        for path in self._last:
            if path not in self._reset and not places.isdisjoint(ancestors(path)):
                self._reset.add(path)
                self._change(path, event, t.NONE)

    def _is_open(self, path: str) -> bool:
        number = self._last.get(path, -1)
        return number >= 0 and not self.end[number]

    def _change(self, path: str, event: history_pb2.HistoryEvent, status: int) -> None:
        number = self._last.get(path, -1)
        if number >= 0:
            self.change_seq.append(event.seq)
            self.change_step.append(self.step[number])
            self.change_status.append(status)

    def _cell(self, told: history_pb2.CellStarted) -> None:
        # Only cells of outermost foreaches are drawn as such.
        if told.path.startswith(f"{told.block}[") and "[" not in told.block:
            self._cells[told.path] = told.index

    def _cell_index(self, path: str, block: str) -> int:
        if not block:
            return 0
        return self._cells.get(path[: path.index("]", len(block)) + 1], 0)

    def _node(self, block: str, place: str) -> int:
        number = self._node_numbers.get((block, place))
        if number is None:
            # What is beyond that many places is drawn as the last one.
            number = min(len(self.nodes), NO_RUNNER - 1)
            self._node_numbers[block, place] = number
            if number == len(self.nodes):
                self.nodes.append(place)
                self.blocks.append(block)
        return number

    def _runner(self, runner_id: str) -> int:
        number = self._runner_numbers.get(runner_id)
        if number is None:
            number = min(len(self.runners), NO_RUNNER - 1)
            self._runner_numbers[runner_id] = number
            if number == len(self.runners):
                self.runners.append(runner_id)
        return number


def ancestors(path: str) -> Iterator[str]:
    """Return a path, and the blocks and cells around it: "a[x]/b" is in "a[x]" and "a"."""
    yield path
    for at, sign in enumerate(path):
        if sign in "/[#=":
            yield path[:at]


class SpanBook:
    """Keeps the spans of the runs that were looked at last, and folds them on."""

    def __init__(self, reads: ViewReads) -> None:
        self._reads = reads
        self._kept: Recent[str, Spans] = Recent(most=_MOST_SPANS, weight=len)

    def of(self, run: RunRecord) -> Spans:
        """Return the spans of a run up to its newest event at least. Blocks."""
        spans = self._kept.get_or_put(run.run_id, Spans)
        with spans.lock:
            if not spans.seq and run.fork_run_id:
                self._inherit(spans, run)
            while spans.seq < run.row.seq:
                events = self._reads.store.history(run.run_id, spans.seq, _PAGE)
                if not events:
                    break
                spans.fold(events)
        return spans

    def sweep(self, watched: Iterable[str]) -> None:
        """Forget the spans of runs that nobody has looked at for a while, and nobody watches."""
        self._kept.sweep(watched)

    def _inherit(self, spans: Spans, run: RunRecord) -> None:
        while run.fork_run_id:
            run_id, last, seq = run.fork_run_id, run.fork_seq, 0
            while seq < last and (
                events := self._reads.store.history(run_id, seq, min(_PAGE, last - seq))
            ):
                spans.inherit(events)
                seq = events[-1].seq
            run = self._reads.store.load_run(run_id)


def until(spans: Spans, seq: int) -> Iterator[int]:
    """Numbers of the spans that had become ready after an event; 0 means all."""
    for number in range(len(spans)):
        if seq and spans.ready_seq[number] > seq:
            return
        yield number
