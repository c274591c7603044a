"""Answers that count for some seconds, so that not every call asks for them."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

# Whoever tries names must not fill the memory.
_MOST = 10_000


class Remembered(Generic[T]):
    """Asks for each key at most once in some seconds; calls that come meanwhile wait for the same answer.

    Args:
        ask: Returns the answer of a key. An error is not remembered.
        seconds: How long an answer counts.
        clock: Returns seconds that only grow.
    """

    def __init__(
        self,
        ask: Callable[[str], Awaitable[T]],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        # With the time at which each ends, the oldest first.
        self._answers: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[T]] = {}

    async def get(self, key: str) -> T:
        """Return the answer of a key.

        Raises:
            Exception: What asking has raised.
        """
        found = self._answers.get(key)
        if found is not None and self._clock() < found[0]:
            return found[1]
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._answer(key))
            self._asking[key] = asking
            asking.add_done_callback(lambda done: self._ended(key, done))
        # The call that asked first may be cancelled; others wait for the answer.
        return await asyncio.shield(asking)

    def _ended(self, key: str, done: asyncio.Task[T]) -> None:
        self._asking.pop(key, None)
        if not done.cancelled():
            # Whoever asked may have gone: then nobody else looks at the error.
            done.exception()

    async def _answer(self, key: str) -> T:
        answer = await self._ask(key)
        self._answers.pop(key, None)
        self._answers[key] = self._clock() + self._seconds, answer
        while len(self._answers) > _MOST:
            self._answers.popitem(last=False)
        return answer
