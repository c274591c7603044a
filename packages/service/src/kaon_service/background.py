"""Work beside the calls of a service: none of it ends in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

import structlog

from kaon_wire.errors import Unavailable

log = structlog.get_logger(__name__)

# Seconds: the first wait after a round that failed, and the longest.
FIRST_WAIT = 0.2
LONGEST_WAIT = 10.0


class TaskEnded(RuntimeError):
    """A background task has returned, which none may."""


class BackgroundTasks:
    """Tasks that work until they are cancelled. `wait` tells when one has ended in another way: the service must end then."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Begins a task under a name for logs and errors."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def wait(self) -> NoReturn:
        """Returns never: raises the error of the first task that ends.

        Raises:
            TaskEnded: a task has ended without an error.
        """
        while True:
            for task in self._tasks:
                if task.done():
                    task.result()
                    raise TaskEnded(f"the background task {task.get_name()!r} has ended")
            self._changed.clear()
            await self._changed.wait()

    async def stop(self) -> None:
        """Cancels all tasks and waits for their ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task failed", task=task.get_name(), exc_info=error)
        self._changed.set()


async def until_first(*works: Coroutine[Any, Any, object]) -> None:
    """Returns when the first of these has ended, or raises its error; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def in_rounds(
    name: str,
    work: Callable[[], Awaitable[None]],
    pause: Callable[[], Awaitable[None]],
    *,
    passing: tuple[type[Exception], ...] = (Unavailable,),
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> NoReturn:
    """Does a round of work and pauses, for ever. Any error that does not pass goes up.

    Args:
        name: what works, for logs.
        work: one round.
        pause: returns when the next round is due.
        passing: errors after which the round is done again, after a wait that doubles up to `LONGEST_WAIT`.
        sleep: lets seconds pass.
    """
    wait = FIRST_WAIT
    while True:
        try:
            await work()
        except passing as error:
            log.warning("background round failed; retrying", task=name, reason=str(error), seconds=wait)
            await sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
        else:
            wait = FIRST_WAIT
            await pause()
