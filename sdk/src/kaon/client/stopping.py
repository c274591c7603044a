"""Ends streams from outside: when a time is over, or when the task that reads them is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from kaon_wire.errors import KaonError


class Stopped(KaonError):
    """A stream was ended by the one who reads it."""


class Stopper:
    """Ends the streams that are opened under it, those that run and those to come. Thread-safe.

    Args:
        outer: ends them, too.
    """

    def __init__(self, outer: Stopper | None = None) -> None:
        self._outer = outer
        self._stopped = False
        self._cancel: Callable[[], object] | None = None
        self._lock = threading.Lock()

    def stop(self) -> None:
        """End them."""
        with self._lock:
            self._stopped = True
            cancel = self._cancel
        if cancel is not None:
            cancel()

    def opened(self, cancel: Callable[[], object]) -> None:
        """Note how the stream that has been opened is cancelled.

        Raises:
            Stopped: it comes too late.
        """
        if self._outer is not None:
            self._outer.opened(cancel)
        with self._lock:
            self._cancel = cancel
        if self._stopped:
            cancel()
        self.check()

    def check(self) -> None:
        """Tell whether streams have been ended.

        Raises:
            Stopped: they have.
        """
        if self._outer is not None:
            self._outer.check()
        if self._stopped:
            raise Stopped("the stream was stopped")


STOPPER: ContextVar[Stopper | None] = ContextVar("kaon_stopper", default=None)


@contextmanager
def after(seconds: float | None) -> Iterator[None]:
    """End the streams that the context opens when a time is over; None means never.

    Raises:
        Stopped: it is over, and a stream was ended.
    """
    if seconds is None:
        yield
        return
    stopper = Stopper(STOPPER.get())
    timer = threading.Timer(seconds, stopper.stop)
    timer.daemon = True
    token = STOPPER.set(stopper)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        STOPPER.reset(token)
