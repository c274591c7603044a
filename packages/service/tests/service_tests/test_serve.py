"""A service starts, works, and ends in order, whatever ends it."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from kaon_service.background import BackgroundTasks
from kaon_service.serve import serve, serve_until
from kaon_service.thread import ApplicationThread
from kaon_wire.errors import Unavailable


class Noting:
    """An application that notes what is asked of it; its one task ends with an error, or when the application is stopped."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.asked: list[str] = []
        self._failure = failure
        self._tasks = BackgroundTasks()

    async def start(self) -> int:
        """See `Application`."""
        self.asked.append("start")
        self._tasks.start("work", self._work())
        return 7070

    async def wait(self) -> None:
        """See `Application`."""
        await self._tasks.wait()

    async def stop(self) -> None:
        """See `Application`."""
        self.asked.append("stop")
        await self._tasks.stop()

    async def _work(self) -> None:
        if self._failure is not None:
            raise self._failure
        await asyncio.Event().wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_a_service_in_order(number: int) -> None:
    application = Noting()
    await serve(lambda: application, started=lambda _: os.kill(os.getpid(), number))
    assert application.asked == ["start", "stop"]


async def test_the_error_of_a_task_ends_a_service_in_order() -> None:
    application = Noting(Unavailable("the broker has gone"))
    with pytest.raises(Unavailable, match="the broker has gone"):
        await serve_until(asyncio.Event(), application)
    assert application.asked == ["start", "stop"]


async def test_whoever_waits_for_the_start_is_told_the_port() -> None:
    ports: list[int] = []
    stopping = asyncio.Event()
    stopping.set()
    await serve_until(stopping, Noting(), ports.append)
    assert ports == [7070]


def test_a_service_on_a_thread_starts_and_ends_in_order() -> None:
    application = Noting()
    thread = ApplicationThread("test", lambda: application)
    assert thread.start() == 7070
    thread.stop()
    thread.stop()
    assert (application.asked, thread.failure) == (["start", "stop"], None)


def test_whoever_waits_for_a_service_on_a_thread_is_told_what_ended_it() -> None:
    thread = ApplicationThread("test", lambda: Noting(Unavailable("the broker has gone")))
    thread.start()
    with pytest.raises(Unavailable, match="the broker has gone"):
        thread.wait()
    thread.stop()


def test_what_keeps_a_service_on_a_thread_from_starting_is_raised_at_its_start() -> None:
    def make() -> Noting:
        raise Unavailable("the address is taken")

    thread = ApplicationThread("test", make)
    with pytest.raises(Unavailable, match="the address is taken"):
        thread.start()
    thread.stop()
