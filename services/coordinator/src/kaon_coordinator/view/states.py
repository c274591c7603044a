"""The states of runs at any moment, each read or folded once for all who look at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf

from kaon_coordinator import replay
from kaon_coordinator.engine.definition.compiled import CompiledWorkflow
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.shell.fork_states import definitions
from kaon_coordinator.store.records import RunRecord
from kaon_coordinator.store.view_reads import ViewReads
from kaon_coordinator.view.live_run import LiveRun
from kaon_coordinator.view.recent import Recent
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import history_pb2
from kaonapi.view.v1 import run_view_pb2

# Steps, blocks and cells that are kept in memory, of all runs together; the run that is looked at is kept whatever its size.
_MOST_NODES = 200_000
_PAGE = 1_000
# A run with more steps is shown from its rows until its state has been read.
MANY_STEPS = 2_000
# So is one whose kept state lacks more events that were not heard, and more than this share of its steps: those of a foreach that
# begins come all at once. An event is read and folded in the time in which one step with its cell is read for graph and cells, but
# it must be folded anyway: rows are read where that takes no more than twice as long as folding at once.
MANY_EVENTS = 2_000
EVENTS_OF_STEPS = 0.5


class States:
    """Keeps states: of each run the newest one, which goes on with it, and the past one that was looked at last.

    Every method blocks, and may be called by several threads.
    """

    def __init__(self, reads: ViewReads) -> None:
        self._reads = reads
        self._compiled = definitions(reads.store)
        self._lock = threading.Lock()
        # By run; True for the newest state.
        self._kept: Recent[tuple[str, bool], LiveRun] = Recent(
            most=_MOST_NODES, weight=lambda live: live.size
        )
        self._loading: dict[tuple[str, bool], threading.Lock] = {}

    @contextmanager
    def newest(self, run: RunRecord, *, seconds: float = inf, least: int = 0) -> Iterator[LiveRun]:
        """Return the run as it stands, or a little later; nobody else looks at it or changes it meanwhile.

        Args:
            run: as it was read.
            seconds: for about so long events are folded that it lacks; then it is returned as it stood before the others.
            least: up to this event it is folded, however long that takes.
        """
        live = self._found(run)
        with live.lock:
            until = time.monotonic() + seconds
            while self._read_page(live, newest_seq(run, live)):
                if live.state.seq >= least and time.monotonic() >= until:
                    break
            yield live

    def watched(self, tenant: str, run_id: str) -> RunRecord:
        """Return a run of a tenant: as it stands, or as it stood when all that happened since was heard.

        Raises:
            NotFound: The tenant has no such run.
        """
        live = self._kept.peek((run_id, True))
        if live is not None and live.record is not None and live.record.tenant == tenant:
            return live.record
        doubts = 0 if live is None else live.doubts
        record = self._reads.store.get_run(tenant, run_id)
        if live is not None and live.doubts == doubts:
            live.record = record
        return record

    def hear(self, run_id: str, events: Sequence[history_pb2.HistoryEvent]) -> None:
        """Keep durable events of a run, in order of seq, for the next look at it, if its newest state is kept."""
        live = self._kept.peek((run_id, True))
        if live is not None:
            live.hear(events)
            self.lacks(run_id, events[-1].seq)

    def lacks(self, run_id: str, seq: int) -> bool:
        """Tell whether some events of a run up to one were not heard; then the next look reads it again."""
        live = self._kept.peek((run_id, True))
        if live is None or live.heard_seq >= seq:
            return False
        live.doubt()
        return True

    def doubt(self, run_id: str) -> None:
        """Have the next look at a run read it again: something has happened that was not heard."""
        live = self._kept.peek((run_id, True))
        if live is not None:
            live.doubt()

    @contextmanager
    def at(self, run: RunRecord, seq: int) -> Iterator[LiveRun]:
        """Return the run as it was after an event; 0 means as it stands.

        Raises:
            InvalidValue: the run has no such event.
        """
        if seq in {0, run.row.seq}:
            live = self._found(run)
            with live.lock:
                self._go_on(live, run.row.seq)
                if seq in {0, live.state.seq}:
                    yield live
                    return
        if not 0 < seq <= run.row.seq:
            raise InvalidValue(
                f"seq: run {run.run_id}: there is no event {seq}; its newest is {run.row.seq}"
            )
        with self._past(run, seq) as past:
            yield past

    def is_slow(self, run: RunRecord) -> bool:
        """Tell whether it takes long to read the newest state of a run: it has many steps, and is not kept or far behind."""
        if run.row.steps_total <= MANY_STEPS:
            return False
        live = self._kept.peek((run.run_id, True))
        few = max(MANY_EVENTS, EVENTS_OF_STEPS * run.row.steps_total)
        return live is None or run.row.seq - live.heard_seq > few

    def workflow(self, run: RunRecord) -> CompiledWorkflow:
        """Return the definition of a run."""
        return self._compiled(run.tenant, run.workflow, run.version)

    def warm(self, run: RunRecord, give_way: Callable[[], object]) -> None:
        """Read the newest state of a run, for whoever will look at it.

        Args:
            run: as it stands.
            give_way: called between pieces of the work, while others may look at the run.
        """
        live, goes_on = self._found(run), True
        while goes_on:
            with live.lock:
                goes_on = self._read_page(live, run.row.seq)
            give_way()

    def drop(self, run_id: str) -> None:
        """Forgets a run."""
        for newest in (True, False):
            self._kept.drop((run_id, newest))

    def sweep(self, watched: Iterable[str]) -> None:
        """Forget runs that nobody has looked at for a while, and nobody watches."""
        self._kept.sweep((run_id, True) for run_id in watched)

    def _found(self, run: RunRecord) -> LiveRun:
        key = (run.run_id, True)
        known = self._kept.get(key)
        if known is not None:
            return known
        with self._lock:
            loading = self._loading.setdefault(key, threading.Lock())
        # Whoever wants the same run meanwhile waits for the one that reads it.
        with loading:
            known = self._kept.get(key)
            if known is None:
                known = LiveRun(self._stored(run))
                self._keep(key, known)
            return known

    def _stored(self, run: RunRecord) -> RunState:
        if run.row.seq == 0 and not run.fork_run_id:
            return replay.empty(run, self._compiled)
        snapshot = self._reads.whole_run(run.run_id)
        if snapshot.row.seq == 0:
            return replay.begin(self._reads.store, run, self._compiled)
        return replay.kept(run, snapshot, self._compiled(run.tenant, run.workflow, run.version))

    @contextmanager
    def _past(self, run: RunRecord, seq: int) -> Iterator[LiveRun]:
        key = (run.run_id, False)
        known = self._kept.get(key)
        if known is not None:
            with known.lock:
                if known.state.seq < seq and not self._is_kept_between(run, known.state.seq, seq):
                    self._go_on(known, seq)
                if known.state.seq == seq:
                    yield known
                    return
        past = LiveRun(replay.replay(self._reads.store, run, seq, self._compiled))
        with past.lock:
            self._keep(key, past)
            yield past

    def _is_kept_between(self, run: RunRecord, first: int, last: int) -> bool:
        """Whether a snapshot is nearer to an event than another event."""
        return any(first < each <= last for each in self._reads.store.snapshot_seqs(run.run_id))

    def _go_on(self, live: LiveRun, seq: int) -> None:
        while self._read_page(live, seq):
            pass

    def _read_page(self, live: LiveRun, seq: int) -> bool:
        """Fold some of the events that a state lacks up to one; whether more of them may be there."""
        wanted = min(_PAGE, seq - live.state.seq)
        if wanted <= 0:
            return False
        events = live.heard(wanted)
        if not events:
            events = self._reads.store.history(live.state.run_id, live.state.seq, wanted)
        if events:
            live.advance(events)
        return bool(events)

    def _keep(self, key: tuple[str, bool], live: LiveRun) -> None:
        # Kept first: whoever comes between would read it a second time.
        self._kept.put(key, live)
        with self._lock:
            self._loading.pop(key, None)


def newest_seq(run: RunRecord, live: LiveRun) -> int:
    """Return the newest event that is known of a run: one that was read, or heard."""
    return max(run.row.seq, live.heard_seq)


def seq_of(reads: ViewReads, run: RunRecord, moment: run_view_pb2.Moment) -> int:
    """Return the event after which a moment is; 0 means now.

    Raises:
        InvalidValue: the run has no such event.
    """
    if moment.HasField("time"):
        return max(seq_at(reads, run, moment.time.ToMicroseconds())[0], min(run.row.seq, 1))
    if moment.seq > run.row.seq:
        raise InvalidValue(
            f"seq: run {run.run_id}: there is no event {moment.seq}; its newest is {run.row.seq}"
        )
    return moment.seq


def seq_at(reads: ViewReads, run: RunRecord, time_us: int) -> tuple[int, int]:
    """Return the newest event at or before a time, and when it was; 0 and 0 when there is none.

    An owner's clock may be behind that of the one before by a little: then one of the events around the time is the
    answer.
    """
    low, high, found_us = 0, run.row.seq, 0
    while low < high:
        middle = (low + high + 1) // 2
        (event,) = reads.store.history(run.run_id, middle - 1, 1)
        if event.time_us <= time_us:
            low, found_us = middle, event.time_us
        else:
            high = middle - 1
    return low, found_us
