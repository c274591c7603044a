"""What happens to runs that other coordinators own, heard from topic run-events as long as somebody watches runs here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from kaon_coordinator.api.feed import RunFeed
from kaonapi.run.v1 import history_pb2

# Tells records of run-events from now on, until cancelled.
Follow: TypeAlias = Callable[[Callable[[history_pb2.RunEvents], None]], Awaitable[None]]

# Nobody has watched for so many seconds: nothing is read any more.
_IDLE_SECONDS = 30.0


class OthersEvents:
    """Passes events and progress of other owners' runs on to the feed. They are hints: the store has every event.

    Args:
        feed: The feed of this process.
        follow: Reads the topic.
        owns_all: Tells whether this coordinator owns all partitions, so that it hears of everything anyway.
    """

    def __init__(self, feed: RunFeed, follow: Follow, owns_all: Callable[[], bool]) -> None:
        self._feed = feed
        self._follow = follow
        self._owns_all = owns_all

    async def run(self) -> None:
        """Listen while somebody watches, until cancelled."""
        while True:
            await self._feed.someone_watches.wait()
            if self._owns_all():
                await asyncio.sleep(1.0)
                continue
            listening = asyncio.ensure_future(self._follow(self._told))
            try:
                while self._feed.someone_watches.is_set() and not listening.done():
                    await asyncio.wait([listening], timeout=_IDLE_SECONDS)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    def _told(self, record: history_pb2.RunEvents) -> None:
        watched = self._feed.watched
        self._feed.publish([event for event in record.events if event.run_id in watched])
        for each in record.progress:
            if each.run_id in watched:
                self._feed.publish_progress(each.run_id, each.step)
