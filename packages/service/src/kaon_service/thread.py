"""A service on a thread of this process, in an event loop of its own."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from types import FrameType

from kaon_service.serve import Application, serve_until
from kaon_wire.waiting import taken


class ApplicationThread:
    """Runs an application from `start` to `stop`. To be used once.

    Args:
        name: of the thread.
        make: composes the application, in the loop.
    """

    def __init__(self, name: str, make: Callable[[], Application]) -> None:
        self._make = make
        self._ready = threading.Event()
        self._port = 0
        self._has_started = False
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        # Has something once the application has ended.
        self._over: SimpleQueue[None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def failure(self) -> BaseException | None:
        """Return the error that ended the application, if any."""
        return self._failure

    def start(self) -> int:
        """Start it, and return its port.

        Raises:
            BaseException: What keeps it from starting.
        """
        self._thread.start()
        self._ready.wait()
        if not self._has_started and self._failure is not None:
            raise self._failure
        return self._port

    def stop(self) -> None:
        """End it in order, if it has not ended."""
        if self._loop is not None and self._stopping is not None:
            # A loop that has ended by itself is closed, and takes no calls.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def wait(self) -> None:
        """Wait until it has ended.

        Raises:
            BaseException: What ended it, or an interrupt.
        """
        # Not by `Thread.join`: an interrupt there makes CPython 3.11 take the thread for ended, and `stop` would not wait for it.
        self._over.put(taken(self._over))
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()
            self._over.put(None)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await serve_until(self._stopping, self._make(), self._started)

    def _started(self, port: int) -> None:
        self._port, self._has_started = port, True
        self._ready.set()


def interrupt_on_sigterm() -> None:
    """Have SIGTERM do what Ctrl-C does: the main thread raises KeyboardInterrupt."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
