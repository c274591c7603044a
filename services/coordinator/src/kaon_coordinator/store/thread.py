"""Calls of the blocking store from an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from kaon_coordinator.store.base import Store
from kaon_coordinator.store.store_calls import StoreCalls

P = ParamSpec("P")
R = TypeVar("R")

READERS = 2
CALLERS = 2
STUDENTS = 2


class StoreThread:
    """The `StoreCalls` of a whole store: a thread of its own for everything that writes, and a few for reads.

    One writer is enough: an owner's batches must not overtake one another anyway, and one thread keeps the database's locks
    uncontended.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._callers = ThreadPoolExecutor(CALLERS, thread_name_prefix="store-caller")
        self._students = ThreadPoolExecutor(STUDENTS, thread_name_prefix="store-student")
        # Whoever calls the API reads through this, beside what the engine reads.
        self.for_callers: StoreCalls[Store] = _ForCallers(self)

    def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        """Call on the writing thread, after every earlier call: `await thread.run(thread.store.commit, batch)`.

        The thread has the call when this returns, whether it is awaited at once or later. When the waiting task is
        cancelled, the call still takes place.
        """
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._writer, partial(call, *args, **kwargs))

    async def read(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a read beside the writing thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, partial(call, *args, **kwargs))

    async def read_for_caller(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a read for a caller of the API: many of them delay one another, and not the engine."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._callers, partial(call, *args, **kwargs))

    async def study(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a long read, such as a replay, without delaying other reads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._students, partial(call, *args, **kwargs))

    async def close(self) -> None:
        """Wait for pending calls and close the store."""
        for threads in (self._writer, self._readers, self._callers, self._students):
            await asyncio.to_thread(threads.shutdown)
        await asyncio.to_thread(self.store.close)


class _ForCallers:
    """The `StoreCalls` of the API."""

    def __init__(self, thread: StoreThread) -> None:
        self.store = thread.store
        self.run = thread.run
        self.read = thread.read_for_caller
        self.study = thread.study
