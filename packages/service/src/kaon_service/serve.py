"""The life of a service: it starts, works until it is asked to stop or cannot go on, and ends in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Protocol

from kaon_service.background import until_first


class Application(Protocol):
    """A service, composed and not started."""

    async def start(self) -> int:
        """Listens, and returns the port."""

    async def wait(self) -> None:
        """Returns never: raises what makes it impossible to go on."""

    async def stop(self) -> None:
        """Ends in order."""


def _ignore(_port: int) -> None:
    """Nobody asks for the port."""


async def serve(make: Callable[[], Application], started: Callable[[int], None] = _ignore) -> None:
    """Runs an application until SIGTERM or SIGINT asks this process to stop.

    Args:
        make: composes the application.
        started: gets the port as soon as the application serves.

    Raises:
        Exception: what makes it impossible to go on.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await serve_until(stopping, make(), started)


async def serve_until(
    stopping: asyncio.Event, application: Application, started: Callable[[int], None] = _ignore
) -> None:
    """Runs an application until an event is set; see `serve`."""
    started(await application.start())
    try:
        await until_first(application.wait(), stopping.wait())
    finally:
        await application.stop()
