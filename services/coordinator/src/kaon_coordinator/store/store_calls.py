"""How asyncio callers reach the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
S_co = TypeVar("S_co", covariant=True)


class Reading(Protocol):
    """Makes blocking reads from an event loop."""

    async def read(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call on a thread."""


class StoreCalls(Protocol[S_co]):
    """Calls of a blocking store from an event loop. `S_co` is the part of the store that the caller needs."""

    @property
    def store(self) -> S_co:
        """Return the store whose methods are called: `await calls.run(calls.store.commit, batch)`."""

    def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        """Call after every earlier call. When the waiting task is cancelled the call still takes place."""

    async def read(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a read beside the writes."""

    async def study(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a long read, such as a replay, without delaying other reads."""
