"""The threads on which the view reads and folds: a bound of its own, so that looking never takes what deciding needs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from kaon_coordinator.faults import going_on

P = ParamSpec("P")
R = TypeVar("R")

# One less than a database has connections for readers.
READERS = 3
# For so long at most does background work wait for reads before it goes on beside them.
_GIVES_WAY_SECONDS = 0.1


class Threads:
    """A few threads for everything that blocks."""

    def __init__(self, number: int = READERS) -> None:
        self._threads = ThreadPoolExecutor(number, thread_name_prefix="view")
        self._background = ThreadPoolExecutor(1, thread_name_prefix="view-background")
        # Reads that somebody waits for.
        self._awaited = 0
        self._counted = threading.Condition()

    async def read(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Make a call on one of the threads."""
        loop = asyncio.get_running_loop()
        made = self._threads.submit(partial(call, *args, **kwargs))
        self._count(1)
        made.add_done_callback(lambda _: self._count(-1))
        return await asyncio.wrap_future(made, loop=loop)

    def give_way(self) -> bool:
        """Wait until nobody waits for a read, or for a moment, and tell whether nobody does.

        Background work calls it between its pieces: one thread runs Python at a time, and beside such work each read would take
        much longer.
        """
        with self._counted:
            return self._counted.wait_for(lambda: not self._awaited, _GIVES_WAY_SECONDS)

    def _count(self, more: int) -> None:
        with self._counted:
            self._awaited += more
            self._counted.notify_all()

    def later(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Make a call on a thread of its own kind, for which nobody waits; its errors are noted."""
        self._background.submit(_noted, partial(call, *args, **kwargs))

    async def close(self) -> None:
        """Wait for the calls under way."""
        for threads in (self._threads, self._background):
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)


def _noted(call: Callable[[], object]) -> None:
    with going_on("a state was read for who will look at it"):
        call()
