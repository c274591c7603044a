"""Events of a run that were heard and wait to be folded, so that nobody need read them from the database."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from kaonapi.run.v1 import history_pb2

# So many wait at most: of more, as when a large foreach begins, rows show sooner how the run stands.
MOST_HEARD = 5_000
# Of these a state keeps values only.
_VALUES = frozenset({"cell_started", "step_became_ready", "step_leased"})
_MAY_FAIL = frozenset({"step_ended", "block_ended"})


class HeardEvents:
    """Consecutive events of one run. They may be added by one thread and taken by another one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: deque[history_pb2.HistoryEvent] = deque()

    def __len__(self) -> int:
        return len(self._events)

    def add(self, events: Iterable[history_pb2.HistoryEvent]) -> None:
        """Add events, in order of seq. Known ones are left out; after a gap only what follows it is kept."""
        with self._lock:
            kept = self._events
            for event in events:
                if kept:
                    newest = kept[-1].seq
                    if event.seq <= newest:
                        continue
                    if event.seq > newest + 1 or len(kept) >= MOST_HEARD:
                        kept.clear()
                kept.append(event)

    def newest(self, seq: int) -> int:
        """Return the newest event that follows event `seq` without a gap; `seq` itself when none does."""
        with self._lock:
            kept = self._events
            return max(seq, kept[-1].seq) if kept and kept[0].seq <= seq + 1 else seq

    def take(self, seq: int, most: int) -> list[history_pb2.HistoryEvent]:
        """Return events that follow event `seq` without a gap, and forget them and older ones."""
        with self._lock:
            kept = self._events
            while kept and kept[0].seq <= seq:
                kept.popleft()
            if not kept or kept[0].seq != seq + 1:
                return []
            return [_alone(kept.popleft()) for _ in range(min(most, len(kept)))]


def _alone(event: history_pb2.HistoryEvent) -> history_pb2.HistoryEvent:
    """Return an event whose messages may be kept: a message of a record keeps the whole record in memory."""
    kind = event.WhichOneof("event")
    if kind in _VALUES or (kind in _MAY_FAIL and not getattr(event, kind).HasField("error")):
        return event
    own = history_pb2.HistoryEvent()
    own.CopyFrom(event)
    return own
