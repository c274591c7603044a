"""Following a run: its history from the store, then live, without gap or duplicate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from kaon_coordinator.api.feed import RunFeed, Subscription, Update
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

    async def watch(self, tenant: str, run_id: str, after_seq: int) -> AsyncIterator[Update]:
        """Yield the run's events past `after_seq` in order of seq, and the progress of its steps, until the run ends.

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
                    for event in events:
                        yield event
                    seq = events[-1].seq
                if run.row.status in t.TERMINAL:
                    return
                async for update in self._live(live, seq):
                    yield update
                    seq = update.seq if isinstance(update, history_pb2.HistoryEvent) else seq
                    if _is_end(update):
                        return

    async def _live(self, live: Subscription, seq: int) -> AsyncIterator[Update]:
        """Yield live updates that follow on `seq`, until the store must be read again."""
        while updates := await live.next(self.poll_seconds):
            fresh, gap = _following(updates, seq)
            for update in fresh:
                yield update
                seq = update.seq if isinstance(update, history_pb2.HistoryEvent) else seq
            if gap:
                return


def _following(updates: Sequence[Update], seq: int) -> tuple[list[Update], bool]:
    """Return the updates up to the first gap in the seqs, without earlier ones; and whether there is a gap."""
    fresh: list[Update] = []
    for update in updates:
        if isinstance(update, history_pb2.HistoryEvent):
            if update.seq <= seq:
                continue
            if update.seq > seq + 1:
                return fresh, True
            seq = update.seq
        fresh.append(update)
    return fresh, False


def _is_end(update: Update) -> bool:
    return isinstance(update, history_pb2.HistoryEvent) and update.HasField("run_ended")
