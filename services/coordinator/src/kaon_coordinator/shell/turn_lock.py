"""The lock under which a coordinator's state changes."""

from __future__ import annotations

import asyncio
from types import TracebackType

from kaon_wire.errors import Unavailable


class TurnLock:
    """Lets one change of state happen at a time, and none after one that failed.

    After a transaction of which nobody knows whether it took place, the state in memory may be ahead of the
    store. The process ends then; a turn that waits meanwhile would store events that follow missing ones.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._failure: BaseException | None = None

    async def __aenter__(self) -> None:
        await self._lock.acquire()
        if self._failure is not None:
            self._lock.release()
            raise Unavailable(f"this coordinator ends, since a turn has failed: {self._failure!r}")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._failure = error
        self._lock.release()
