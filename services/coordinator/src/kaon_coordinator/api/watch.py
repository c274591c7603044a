"""Following a run: its history from the store, then live, without gap or duplicate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from kaon_coordinator.api.feed import RunFeed, Update
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaonapi.run.v1 import history_pb2

_PAGE = 500


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Follows runs for watchers."""

    store: StoreCalls[RunStore]
    feed: RunFeed
    # Seconds between reads of a quiet run from the store: another process may own it.
    poll_seconds: float = 0.5

    async def watch(
        self, tenant: str, run_id: str, after_seq: int
    ) -> AsyncIterator[Sequence[Update]]:
        """Yield the run's events past `after_seq` in order of seq, and the progress of its steps, until the run ends.

        Several come at once where several are there: those of one page of the store, or all that were told meanwhile.

        Raises:
            NotFound: The tenant has no such run.
        """
        seq = after_seq
        # Subscribed before the first read: events committed between the two wait in the subscription.
        with self.feed.subscribe(run_id) as live:
            while True:
                # The run first: if it has ended, the events read after it are complete.
                run = await self.store.read(self.store.store.get_run, tenant, run_id)
                while events := await self.store.read(self.store.store.history, run_id, seq, _PAGE):
                    yield events
                    seq = events[-1].seq
                if run.row.status in t.TERMINAL:
                    return
                has_gap = False
                while not has_gap and (updates := await live.next(self.poll_seconds)):
                    fresh, has_gap = _following(updates, seq)
                    if fresh:
                        yield fresh
                    if any(map(_is_end, fresh)):
                        return
                    seq = max((each.seq for each in fresh if _is_event(each)), default=seq)

    async def until_end(self, tenant: str, run_id: str) -> None:
        """Return when the run has ended, without a look at its events.

        Raises:
            NotFound: The tenant has no such run.
        """
        with self.feed.subscribe(run_id, only_end=True) as live:
            while True:
                run = await self.store.read(self.store.store.get_run, tenant, run_id)
                if run.row.status in t.TERMINAL:
                    return
                await live.next(self.poll_seconds)


def _following(updates: Sequence[Update], seq: int) -> tuple[list[Update], bool]:
    """Return the updates up to the run's end or the first gap in the seqs, without earlier ones; and whether there is a gap."""
    fresh: list[Update] = []
    for update in updates:
        if _is_event(update):
            if update.seq <= seq:
                continue
            if update.seq > seq + 1:
                return fresh, True
            seq = update.seq
        fresh.append(update)
        if _is_end(update):
            break
    return fresh, False


def _is_event(update: Update) -> TypeGuard[history_pb2.HistoryEvent]:
    return isinstance(update, history_pb2.HistoryEvent)


def _is_end(update: Update) -> bool:
    return _is_event(update) and update.HasField("run_ended")
