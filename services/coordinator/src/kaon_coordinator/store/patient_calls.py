"""Store calls of an owner, which wait while the database's disk is full."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, ParamSpec, TypeVar

import structlog

from kaon_coordinator.bounded_wait import came
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service.errors import DatabaseFull

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

log = structlog.get_logger(__name__)

# Between two attempts.
_PAUSE_SECONDS = 1.0


class PatientCalls(Generic[S]):
    """The `StoreCalls` of another, whose writes are made again until there is space for them.

    A transaction that found no space has left nothing: to make it again is safe, and an owner that ended instead would find
    no space to begin again. Others write meanwhile, and are refused.

    Args:
        calls: Makes the calls.
        refused: Is told of every write that found no space, before it is made again.
    """

    def __init__(
        self,
        calls: StoreCalls[S],
        refused: Callable[[DatabaseFull], None],
    ) -> None:
        self.store = calls.store
        self.read = calls.read
        self.study = calls.study
        self._calls = calls
        self._refused = refused
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Wait no longer: from now on a write that finds no space fails."""
        self._hurry.set()

    def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        """Call after every earlier call, and again while there is no space; see `StoreCalls.run`.

        Raises:
            DatabaseFull: There is no space, and nobody waits any longer.
        """
        first = self._calls.run(call, *args, **kwargs)
        return self._until_written(first, lambda: self._calls.run(call, *args, **kwargs))

    async def _until_written(self, attempt: Awaitable[R], again: Callable[[], Awaitable[R]]) -> R:
        waits = False
        while True:
            try:
                result = await attempt
            except DatabaseFull as error:
                if self._hurry.is_set():
                    raise
                if not waits:
                    log.error("the disk is full; runs wait until there is space", reason=str(error))
                waits = True
                self._refused(error)
            else:
                if waits:
                    log.warning("there is space on the disk; runs go on")
                return result
            await came(self._hurry, _PAUSE_SECONDS)
            attempt = again()
