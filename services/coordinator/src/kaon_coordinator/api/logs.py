"""LogService: the output of steps, archived and live."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from kaon_artifacts import ArtifactStore
from kaon_coordinator.api import places, whole_log
from kaon_coordinator.api.feed import RunFeed
from kaon_coordinator.api.log_archive import LogSource
from kaon_coordinator.bounded_wait import came
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.base import LogChunk, RunRecord
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service import principal
from kaonapi.log.v1 import log_pb2, log_pb2_grpc


@dataclass(frozen=True, kw_only=True)
class LogParts:
    """The dependencies of the service."""

    store: StoreCalls[places.PlaceStore]
    source: LogSource
    # Tells of the ends of runs.
    feed: RunFeed
    # The storage of whole logs.
    artifacts: ArtifactStore
    # Returns microseconds since the epoch.
    now_us: Callable[[], int]
    # Seconds between reads of a quiet run's lines from the store: another process may archive them.
    poll_seconds: float = 0.5
    # Lines travel separately from events: the last ones may arrive this long after the run's end.
    settle_seconds: float = 1.5


class LogServicer(log_pb2_grpc.LogServiceServicer):
    """Serves the output of the steps of a caller's runs."""

    def __init__(self, parts: LogParts) -> None:
        self._parts = parts

    async def ReadLogs(  # noqa: N802
        self, request: log_pb2.ReadLogsRequest, context: Any
    ) -> AsyncIterator[log_pb2.ReadLogsResponse]:
        """Stream the archived lines of steps; with `follow`, also new ones until the run ends."""
        tenant = principal.current().tenant
        # Also checks that the run exists and belongs to the caller.
        run = await self._run(tenant, request.run_id)
        ended = run.row.status in t.TERMINAL
        find_all = partial(places.find_all, later=request.follow and not ended)
        around, wanted = await self._parts.store.read(
            find_all, self._parts.store.store, run, request.path
        )
        seen, gaps, backlog = 0, _Gaps(), _Backlog(request.tail)
        loop = asyncio.get_running_loop()
        # When the last lines came, or the run ended: what is there when the reader comes is no news.
        last_news = loop.time() - (self._seconds_since(run.row.end_us) if ended else 0)
        came_first = False
        follow = self._parts.source.follow(request.run_id)
        with follow as news, self._parts.feed.set_at_end(request.run_id, news):
            while True:
                news.clear()
                while chunks := await self._parts.source.read(request.run_id, around, seen):
                    for chunk in chunks:
                        is_wanted = request.attempt in {0, chunk.key.attempt} and wanted(
                            chunk.key.path
                        )
                        if is_wanted and not backlog.takes(record := gaps.told(chunk)):
                            yield log_pb2.ReadLogsResponse(lines=record)
                    seen = chunks[-1].chunk_id
                    last_news = loop.time() if came_first else last_news
                came_first = True
                for record in backlog.end():
                    yield log_pb2.ReadLogsResponse(lines=record)
                left = last_news + self._parts.settle_seconds - loop.time()
                if not request.follow or (ended and left <= 0):
                    return
                await came(
                    news, min(self._parts.poll_seconds, left) if ended else self._parts.poll_seconds
                )
                if not ended and (await self._run(tenant, request.run_id)).row.status in t.TERMINAL:
                    ended, last_news = True, loop.time()

    async def ReadWholeLog(  # noqa: N802
        self, request: log_pb2.ReadWholeLogRequest, context: Any
    ) -> AsyncIterator[log_pb2.ReadWholeLogResponse]:
        """Stream the stored log of one attempt as bytes, from an offset on."""
        # Also checks that the run exists and belongs to the caller.
        run = await self._run(principal.current().tenant, request.run_id)
        stored = await self._parts.store.study(
            whole_log.find, self._parts.store.store, run, request.path, request.attempt
        )
        async for piece in whole_log.read(self._parts.artifacts, stored, request.offset):
            yield piece

    def _seconds_since(self, time_us: int) -> float:
        # Never negative: the clock that wrote the time may be ahead of ours.
        return max(0, self._parts.now_us() - time_us) / 1e6

    async def _run(self, tenant: str, run_id: str) -> RunRecord:
        return await self._parts.store.read(self._parts.store.store.get_run, tenant, run_id)


class _Backlog:
    """Keeps the last lines of what is there when a reader comes.

    Args:
        tail: Number of lines; 0: all of them, and nothing is kept back.
    """

    def __init__(self, tail: int) -> None:
        self._tail = tail
        self._kept: deque[log_pb2.LogLines] = deque()
        self._lines = 0

    def takes(self, record: log_pb2.LogLines) -> bool:
        """Keep a record back, and tell whether it was."""
        if not self._tail:
            return False
        self._kept.append(record)
        self._lines += len(record.lines)
        while self._lines - len(self._kept[0].lines) >= self._tail:
            self._lines -= len(self._kept.popleft().lines)
        return True

    def end(self) -> list[log_pb2.LogLines]:
        """Return the last lines; what comes later is not kept back."""
        kept, excess = list(self._kept), self._lines - self._tail
        if kept and excess > 0:
            del kept[0].lines[:excess]
            kept[0].ClearField("gap")
        self._tail = 0
        self._kept.clear()
        return kept


class _Gaps:
    """Reports to one reader the lines that were omitted before it could read them."""

    def __init__(self) -> None:
        # The newest number by lease with a tail: other leases omit nothing.
        self._seen: dict[tuple[str, int, int, str], int] = {}

    def told(self, chunk: LogChunk) -> log_pb2.LogLines:
        """Return the chunk's lines, with the gap before them."""
        record = log_pb2.LogLines.FromString(chunk.payload)
        if chunk.left_out is None or not record.lines:
            return record
        first, last = chunk.left_out
        if record.lines[0].sequence < first:
            return record
        lease = (chunk.key.path, chunk.key.attempt, chunk.key.generation, chunk.incarnation)
        seen = self._seen.get(lease, 0)
        first = max(first, seen + 1)
        if first <= last:
            record.gap.CopyFrom(log_pb2.LogGap(first_sequence=first, last_sequence=last))
        self._seen[lease] = max(seen, record.lines[-1].sequence)
        return record
