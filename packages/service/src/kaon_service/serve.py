"""The life of a service: start, work until a signal or a fatal error, orderly shutdown."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Protocol

from kaon_service.background import until_first


class Application(Protocol):
    """A service, composed and not started."""

    async def start(self) -> int:
        """Start listening, and return the port."""

    async def wait(self) -> None:
        """Wait for a fatal error and raise it."""

    async def stop(self) -> None:
        """Shut down in order."""


def _ignore(_port: int) -> None:
    """Ignore the port."""


async def serve(make: Callable[[], Application], started: Callable[[int], None] = _ignore) -> None:
    """Run an application until SIGTERM or SIGINT.

    Args:
        make: Composes the application.
        started: Called with the port as soon as the application serves.

    Raises:
        Exception: The fatal error of the application.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await serve_until(stopping, make(), started)


async def serve_until(
    stopping: asyncio.Event, application: Application, started: Callable[[int], None] = _ignore
) -> None:
    """Run an application until an event is set; see `serve`."""
    started(await application.start())
    try:
        await until_first(application.wait(), stopping.wait())
    finally:
        await application.stop()
