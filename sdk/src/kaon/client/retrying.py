"""Trying again when a service does not answer: bounded, with growing pauses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from kaon_wire.errors import Unavailable

T = TypeVar("T")


def _never() -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to try, in seconds without any success."""

    total: float
    first_pause: float = 0.1
    longest_pause: float = 2.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    # Whether the service is gone for good: then nothing is tried again.
    gone: Callable[[], bool] = _never

    def call(self, attempt: Callable[[], T]) -> T:
        """Call `attempt` until it succeeds, and return its result.

        Raises:
            Unavailable: it raised that until patience was at its end, or the service was gone.
        """
        pauses = self._pauses()
        while True:
            try:
                return attempt()
            except Unavailable:
                if not next(pauses, False):
                    raise

    def stream(
        self, opened: Callable[[], Iterable[T]], *, complete: Callable[[], bool]
    ) -> Iterator[T]:
        """All that streams yield, one after the other, until `complete` says that the last one ended in order.

        `opened` starts a stream from where the last one broke. Each element that arrives renews patience.

        Raises:
            Unavailable: nothing arrived until patience was at its end, or the service was gone.
        """
        pauses = self._pauses()
        while True:
            try:
                for element in opened():
                    pauses = self._pauses()
                    yield element
                if complete():
                    return
                problem = Unavailable("the service ended the stream early and does not go on")
            except Unavailable as error:
                problem = error
            if not next(pauses, False):
                raise problem

    def _pauses(self) -> Iterator[bool]:
        """Pauses at each step; ends when the time is used up, or the service is gone."""
        deadline = self.clock() + self.total
        pause = self.first_pause
        while (left := deadline - self.clock()) > 0 and not self.gone():
            self.sleep(min(pause, left))
            yield True
            pause = min(2 * pause, self.longest_pause)
