"""The streams that are open: they end with their session, and before the console does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kaon_console.connect.codes import Code
from kaon_console.connect.errors import CallFailed
from kaon_console.tickets import Grant

# Why a stream is ended from here, in place of a result.
Ending = asyncio.Future[CallFailed]


class Streams:
    """All open streams.

    Args:
        most: how many there may be.
        now: seconds since the epoch.
    """

    def __init__(self, most: int, now: Callable[[], float] = time.time) -> None:
        self._most = most
        self._now = now
        self._open: dict[Ending, str] = {}
        self._closing = False

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def opened(self, grant: Grant) -> Iterator[Ending]:
        """Count a stream of a session as open, and yield the event of its end.

        Raises:
            CallFailed: There are too many streams, or the console stops.
        """
        if self._closing:
            raise _stopping()
        if len(self._open) >= self._most:
            raise CallFailed(
                Code.RESOURCE_EXHAUSTED,
                f"{self._most} streams are open, and more may not be (KAON_CONSOLE_STREAMS)",
            )
        loop = asyncio.get_running_loop()
        ending: Ending = loop.create_future()
        self._open[ending] = grant.key
        timer = loop.call_later(grant.expires - self._now(), _end, ending, _logged_out())
        try:
            yield ending
        finally:
            timer.cancel()
            del self._open[ending]

    def end_session(self, key: str) -> None:
        """End the streams of a session."""
        for ending, session in self._open.items():
            if session == key:
                _end(ending, _logged_out())

    def close(self) -> None:
        """End every stream, and opens no other."""
        self._closing = True
        for ending in self._open:
            _end(ending, _stopping())


def _end(ending: Ending, failure: CallFailed) -> None:
    if not ending.done():
        ending.set_result(failure)


def _logged_out() -> CallFailed:
    return CallFailed(Code.UNAUTHENTICATED, "the session has ended")


def _stopping() -> CallFailed:
    return CallFailed(Code.UNAVAILABLE, "the console stops")
