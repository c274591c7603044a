"""The way to the store: requests and answers travel, may be lost with their process, and the store may refuse."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kaon_wire.errors import Unavailable

from .loop import Process, Scheduler
from .memory_store import MemoryStore


@dataclass(kw_only=True)
class StoreTrouble:
    """How hostile the store is. Shares are between 0 and 1."""

    # Calls that are refused, half of them after they took place.
    refused: float = 0.0
    # Calls that take up to two seconds.
    slow: float = 0.0
    # Until when it answers nobody; what is sent meanwhile waits.
    away_until: float = 0.0


_Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]


class SimStoreThread:
    """Stands in for `StoreThread`: the same calls, one writer, in virtual time.

    Args:
        process: whose thread it is.
        store: the truth.
        trouble: see there.
        chance: draws.
    """

    def __init__(
        self, process: Process, store: MemoryStore, trouble: StoreTrouble, chance: random.Random
    ) -> None:
        self.store = store
        self._process = process
        self._scheduler: Scheduler = process.scheduler
        self._trouble = trouble
        self._random = chance
        self._writes: deque[_Call] = deque()
        self._writing = False

    def run(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Makes a call after every earlier one; it waits from now on, whenever it is awaited."""
        answer = self._process.create_future()
        self._writes.append((call, args, kwargs, answer))
        if not self._writing:
            self._writing = True
            self._begin_write()
        return answer

    async def read(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Makes a call beside the writer."""
        answer = self._process.create_future()
        self._scheduler.after(self._delay(), self._take_place, (call, args, kwargs, answer), False)
        return await answer

    async def study(self, call: Callable[..., Any], *args: Any) -> Any:
        """Makes a call that reads much."""
        return await self.read(call, *args)

    async def close(self) -> None:
        """Nothing is open."""

    def _begin_write(self) -> None:
        self._scheduler.after(self._delay(), self._take_place, self._writes.popleft(), True)

    def _delay(self) -> float:
        draw = self._random.random()
        if draw < self._trouble.slow:
            return draw / self._trouble.slow * 2.0
        return 0.0002 + draw * 0.002

    def _take_place(self, request: _Call, write: bool) -> None:
        """The request has reached the store."""
        if self._scheduler.now < self._trouble.away_until:
            self._scheduler.at(
                self._trouble.away_until + self._random.random() * 0.05,
                self._take_place,
                request,
                write,
            )
            return
        alive = self._process.alive
        # What a process had sent when it died may still arrive.
        if not alive and self._random.random() < 0.5:
            return
        call, args, kwargs, answer = request
        refused = self._random.random() < self._trouble.refused
        result: Any = None
        error: BaseException | None = None
        if not refused or self._random.random() < 0.5:
            try:
                result = call(*args, **kwargs)
            except Exception as raised:
                error = raised
        if refused:
            error = Unavailable(
                "the simulated database has refused; it is not known whether it took place"
            )
        if alive:
            self._scheduler.after(self._delay(), self._answer, answer, result, error, write)

    def _answer(self, answer: Any, result: Any, error: BaseException | None, write: bool) -> None:
        self._process.call_soon(self._settle, answer, result, error, write)

    def _settle(self, answer: Any, result: Any, error: BaseException | None, write: bool) -> None:
        if write:
            if self._writes:
                self._begin_write()
            else:
                self._writing = False
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)
