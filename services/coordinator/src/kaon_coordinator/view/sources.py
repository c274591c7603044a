"""Where the view hears what happens to runs, or only that they change: then it looks into the database for what has happened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from kaon_coordinator.api.feed import Listener, RunFeed
from kaon_coordinator.faults import going_on
from kaon_coordinator.store.view_reads import ViewReads
from kaon_coordinator.view.read_threads import Threads

# Takes hints, on its event loop.
Ear: TypeAlias = Listener
# Tells an ear what it hears, until cancelled.
Source: TypeAlias = Callable[[Ear], Awaitable[None]]


# What a coordinator that serves the view, too, hears of: its own runs, or those of the process beside which it looks.
SourceOf: TypeAlias = Callable[[RunFeed, ViewReads, Threads], Source]
_LOOK_SECONDS = 0.25


def own_runs(feed: RunFeed, reads: ViewReads, threads: Threads) -> Source:
    """Return the runs of the coordinator in this process."""
    return feed_source(feed)


def others_runs(feed: RunFeed, reads: ViewReads, threads: Threads) -> Source:
    """Return the runs of another process that works on the same database."""
    return polling_source(reads, threads, _LOOK_SECONDS)


def feed_source(feed: RunFeed) -> Source:
    """Return the coordinator in the same process."""

    async def follow(ear: Ear) -> None:
        with feed.listen(ear):
            await asyncio.Event().wait()

    return follow


def polling_source(reads: ViewReads, threads: Threads, seconds: float) -> Source:
    """Return the database alone, looked at every so many seconds: for where no broker is."""

    async def follow(ear: Ear) -> None:
        known: dict[str, int] = {}
        while True:
            with going_on("runs that have changed were looked for"):
                now = await threads.read(reads.open_seqs)
                ended = [run_id for run_id in known if run_id not in now]
                grown = [run_id for run_id, seq in now.items() if known.get(run_id) != seq]
                known = now
                ear.changed([*ended, *grown])
            await asyncio.sleep(seconds)

    return follow
