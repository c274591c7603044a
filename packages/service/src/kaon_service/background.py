"""Supervised background tasks of a service: none of them ends in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

import structlog

from kaon_wire.errors import Unavailable

log = structlog.get_logger(__name__)

# Seconds: the first wait after a failed round, and the longest.
FIRST_WAIT = 0.2
LONGEST_WAIT = 10.0


class TaskEnded(RuntimeError):
    """A background task returned, which none may do."""


class BackgroundTasks:
    """Tasks that work until they are cancelled.

    `wait` raises when one ends in another way: the service must end then.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Start a task under a name for logs and errors."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def wait(self) -> NoReturn:
        """Wait for the first task that ends, and raise its error.

        Raises:
            TaskEnded: A task ended without an error.
        """
        while True:
            for task in self._tasks:
                if task.done():
                    task.result()
                    raise TaskEnded(f"the background task {task.get_name()!r} has ended")
            self._changed.clear()
            await self._changed.wait()

    async def stop(self) -> None:
        """Cancel all tasks and wait for their ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task failed", task=task.get_name(), exc_info=error)
        self._changed.set()


async def until_first(*works: Coroutine[Any, Any, object]) -> None:
    """Return when the first of these has ended, or raise its error; the others are cancelled."""
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
    """Alternate rounds of work and pauses for ever. Other errors than the passing ones are raised.

    Args:
        name: The worker's name, for logs.
        work: Does one round.
        pause: Returns when the next round is due.
        passing: Errors after which the round is retried, after a wait that doubles up to `LONGEST_WAIT`.
        sleep: Sleeps for some seconds.
    """
    wait = FIRST_WAIT
    while True:
        try:
            await work()
        except passing as error:
            log.warning(
                "background round failed; retrying", task=name, reason=str(error), seconds=wait
            )
            await sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
        else:
            wait = FIRST_WAIT
            await pause()
