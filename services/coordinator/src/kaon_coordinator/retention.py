"""Retention: deletes ended runs and old output, so that the database does not grow for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from kaon_coordinator.faults import going_on
from kaon_coordinator.store.protocols.dataset_store import DatasetStore
from kaon_coordinator.store.protocols.notice_store import NoticeStore
from kaon_coordinator.store.protocols.retention_store import RetentionStore
from kaon_coordinator.store.protocols.signal_store import SignalStore
from kaon_coordinator.store.store_calls import StoreCalls

log = structlog.get_logger(__name__)

DAY_US = 86_400_000_000
# Interval between two rounds. Every coordinator makes them; runs deleted by one are not found by the next.
ROUND_SECONDS = 600.0
# For how long a notification that was given up is reported.
NOTICE_DAYS = 7.0
# For how long the idempotency key of a signal to all runs counts.
SIGNAL_DAYS = 7.0
# Updates of datasets that a tenant may have; the oldest go first. So many of them are deleted in a transaction.
MOST_UPDATES = 100_000
UPDATES_AT_ONCE = 500
# Runs per transaction: it delays the owners' own, so it must be short.
RUNS_AT_ONCE = 20
# Pause between two transactions of a round.
BREATH_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Retention periods in days; 0 means for ever."""

    # Runs with their steps, history and output, and memos. An idempotency key lives as long as its run.
    run_days: float = 90.0
    # The output of steps.
    log_days: float = 30.0
    # Unneeded artifacts and code bundles, since their writing or renewal; at least 1.
    artifact_days: float = 7.0


class KeptStore(RetentionStore, NoticeStore, DatasetStore, SignalStore, Protocol):
    """What retention deletes from."""


class Retention:
    """The retention of one coordinator.

    Args:
        store: The database.
        keep: The retention periods.
        now_us: Returns microseconds since the epoch.
    """

    def __init__(self, store: StoreCalls[KeptStore], keep: Keep, now_us: Callable[[], int]) -> None:
        self._store = store
        self._keep = keep
        self._now_us = now_us

    async def run(self) -> None:
        """Make rounds until cancelled; the next round retries when the database does not answer."""
        while True:
            with going_on("old runs were deleted"):
                await self.once()
            await asyncio.sleep(ROUND_SECONDS)

    async def once(self) -> int:
        """Make one round; return the number of deleted runs."""
        store = self._store.store
        removed = await self._remove(store.remove_runs, self._keep.run_days)
        cleared = await self._remove(store.remove_logs, self._keep.log_days)
        forgotten = await self._remove(store.remove_memos, self._keep.run_days)
        await self._remove(store.remove_notices, NOTICE_DAYS)
        await self._remove(store.remove_signals, SIGNAL_DAYS)
        await self._remove(store.remove_dataset_updates, self._keep.run_days)
        await self._repeat(store.trim_dataset_updates, MOST_UPDATES, UPDATES_AT_ONCE)
        if removed or cleared or forgotten:
            log.info("old runs deleted", runs=removed, runs_without_output=cleared, memos=forgotten)
        return removed

    async def _remove(self, call: Callable[[int, int], list[str]], days: float) -> int:
        if not days:
            return 0
        return await self._repeat(call, self._now_us() - int(days * DAY_US), RUNS_AT_ONCE)

    async def _repeat(self, call: Callable[[int, int], list[str]], bound: int, at_once: int) -> int:
        """Call until nothing is left to delete; return how much was."""
        removed = 0
        while found := await self._store.run(call, bound, at_once):
            removed += len(found)
            await asyncio.sleep(BREATH_SECONDS)
        return removed
