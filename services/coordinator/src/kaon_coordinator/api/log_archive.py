"""Where printed lines go and come from: archived in the store, and told to who follows them in this process."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from kaon_coordinator.store.base import LogChunk
from kaon_coordinator.store.calls import StoreCalls
from kaon_coordinator.store.protocols.log_store import LogStore
from kaonapi.log.v1 import log_pb2

_PAGE = 100


class LogSource(Protocol):
    """Where lines are read from."""

    async def read(self, run_id: str, path: str, after_chunk: int) -> Sequence[LogChunk]:
        """The next lines at or under `path` after a chunk, in the order of arrival; empty when there are no more by now."""

    def follow(self, run_id: str) -> AbstractContextManager[asyncio.Event]:
        """An event that is set, as long as the context lasts, whenever this process has new lines of the run."""


class LogArchive:
    """The lines in the store."""

    def __init__(self, store: StoreCalls[LogStore]) -> None:
        self._store = store
        self._followers: dict[str, set[asyncio.Event]] = defaultdict(set)

    async def archive(self, records: Sequence[log_pb2.LogLines]) -> None:
        """Keeps lines and wakes who follows them. Lines that come again are dropped.

        Raises:
            Unavailable: it is not known whether they were kept.
        """
        if records:
            self._tell(await self._store.run(self._store.store.archive_logs, records))

    async def read(self, run_id: str, path: str, after_chunk: int) -> Sequence[LogChunk]:
        """The next lines at or under `path`."""
        return await self._store.read(self._store.store.read_logs, run_id, path, after_chunk, _PAGE)

    @contextmanager
    def follow(self, run_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever lines of the run are archived by this process."""
        event = asyncio.Event()
        self._followers[run_id].add(event)
        try:
            yield event
        finally:
            self._followers[run_id].discard(event)
            if not self._followers[run_id]:
                del self._followers[run_id]

    def _tell(self, run_ids: Collection[str]) -> None:
        for run_id in run_ids:
            for event in self._followers.get(run_id, ()):
                event.set()
