"""Archive of printed lines: writes them to the store, and notifies the followers of this process."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from kaon_coordinator.store.base import LogChunk
from kaon_coordinator.store.protocols.log_store import LogStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaonapi.log.v1 import log_pb2

_PAGE = 100


class LogSource(Protocol):
    """A source of lines."""

    async def read(self, run_id: str, path: str, after_chunk: int) -> Sequence[LogChunk]:
        """Return the next lines at or under `path` after a chunk, in order of arrival; empty when there are none yet."""

    def follow(self, run_id: str) -> AbstractContextManager[asyncio.Event]:
        """Provide an event that is set, within the context, whenever this process has new lines of the run."""


class LogArchive:
    """The lines in the store."""

    def __init__(self, store: StoreCalls[LogStore]) -> None:
        self._store = store
        self._followers: dict[str, set[asyncio.Event]] = defaultdict(set)

    async def archive(self, records: Sequence[log_pb2.LogLines]) -> None:
        """Store lines and wake their followers. Repeated lines are dropped.

        Raises:
            Unavailable: It is unknown whether the lines were stored.
        """
        if records:
            self._tell(await self._store.run(self._store.store.archive_logs, records))

    async def read(self, run_id: str, path: str, after_chunk: int) -> Sequence[LogChunk]:
        """Return the next lines at or under `path`."""
        return await self._store.read(self._store.store.read_logs, run_id, path, after_chunk, _PAGE)

    @contextmanager
    def follow(self, run_id: str) -> Iterator[asyncio.Event]:
        """Provide an event that is set whenever this process archives lines of the run."""
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
