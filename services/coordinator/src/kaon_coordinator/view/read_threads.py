"""The threads on which the view reads and folds: a bound of its own, so that looking never takes what deciding needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from kaon_coordinator.faults import going_on

P = ParamSpec("P")
R = TypeVar("R")

# One less than a database has connections for readers.
READERS = 3


class Threads:
    """A few threads for everything that blocks."""

    def __init__(self, number: int = READERS) -> None:
        self._threads = ThreadPoolExecutor(number, thread_name_prefix="view")
        self._background = ThreadPoolExecutor(1, thread_name_prefix="view-background")

    async def read(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Make a call on one of the threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(call, *args, **kwargs))

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
