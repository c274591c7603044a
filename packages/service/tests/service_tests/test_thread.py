from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator

import pytest

from kaon_service.thread import ApplicationThread, interrupt_on_sigterm


class Slow:
    """An application whose end takes until it is allowed."""

    def __init__(self) -> None:
        self.ends = threading.Event()
        self.may_end = threading.Event()
        self.has_ended = False
        self.fails = False

    async def start(self) -> int:
        return 7

    async def wait(self) -> None:
        if self.fails:
            raise ValueError("broken")
        await asyncio.Event().wait()

    async def stop(self) -> None:
        self.ends.set()
        await asyncio.to_thread(self.may_end.wait)
        self.has_ended = True


@pytest.fixture
def sigterm() -> Iterator[None]:
    kept = signal.getsignal(signal.SIGTERM)
    interrupt_on_sigterm()
    yield
    signal.signal(signal.SIGTERM, kept)


@pytest.mark.usefixtures("sigterm")
def test_an_application_ends_in_order_after_a_signal_interrupted_who_waits_for_it() -> None:
    """`Thread.join` of CPython 3.11 that was interrupted once takes the thread for ended."""
    application = Slow()
    thread = ApplicationThread("slow", lambda: application)
    assert thread.start() == 7
    with pytest.raises(KeyboardInterrupt):
        _wait_for_a_signal(thread)
    allowing = threading.Thread(
        target=lambda: application.ends.wait() and application.may_end.set()
    )
    allowing.start()
    thread.stop()
    assert application.has_ended
    allowing.join()


def _wait_for_a_signal(thread: ApplicationThread) -> None:
    main = threading.main_thread().ident
    assert main is not None
    sender = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGTERM))
    sender.start()
    thread.wait()


def test_whoever_waits_hears_of_what_ended_it_each_time() -> None:
    application = Slow()
    application.fails = True
    application.may_end.set()
    thread = ApplicationThread("broken", lambda: application)
    thread.start()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            thread.wait()
    thread.stop()
