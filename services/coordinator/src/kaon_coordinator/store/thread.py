"""Calls of the blocking store from an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from kaon_coordinator.store.base import Store

P = ParamSpec("P")
R = TypeVar("R")

READERS = 2


class StoreThread:
    """Gives a store a thread of its own for everything that writes, and a few for reads.

    One writer is enough: an owner's batches must not overtake one another anyway, and one thread keeps the database's locks
    uncontended.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    async def run(self, call: Callable[Concatenate[Store, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Makes a call on the writing thread, after every earlier one: `await thread.run(Store.commit, batch)`. When the waiting
        task is cancelled the call still takes place."""
        return await self._on(self._writer, call, *args, **kwargs)

    async def read(self, call: Callable[Concatenate[Store, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Makes a call that only reads, beside the writing thread."""
        return await self._on(self._readers, call, *args, **kwargs)

    async def _on(
        self,
        threads: ThreadPoolExecutor,
        call: Callable[Concatenate[Store, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        # By name, so that every implementation's own method is called.
        bound: Callable[P, R] = getattr(self.store, call.__name__)
        return await asyncio.get_running_loop().run_in_executor(threads, lambda: bound(*args, **kwargs))

    async def close(self) -> None:
        """Waits for the calls under way and closes the store."""
        for threads in (self._writer, self._readers):
            await asyncio.to_thread(threads.shutdown)
        await asyncio.to_thread(self.store.close)
