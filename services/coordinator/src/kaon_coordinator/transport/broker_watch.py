"""What the broker does not do, and for how long: for the health of a coordinator, and once a minute for its log.

A broker may answer and yet serve nothing: one that cannot write refuses sends, and the requests of its groups, which are
repeated without end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger(__name__)

# Seconds between reminders in the log.
_AGAIN_SECONDS = 60.0
# A refused request that was not repeated for so many seconds is no longer wanted.
_FORGOTTEN_SECONDS = 30.0


class BrokerWatch:
    """Follows when the broker was heard, and which requests it has not served.

    Args:
        silence: The seconds after which a silent broker counts as away, and a request as not served.
        clock: Returns monotonic seconds.
    """

    def __init__(self, *, silence: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._silence = silence
        self._clock = clock
        self._last_contact = clock()
        # The requests that wait for their success: a text for people, and since when.
        self._waiting: dict[object, tuple[str, float]] = {}
        # The requests that were refused, by the text: since when, and when last.
        self._refused: dict[str, tuple[float, float]] = {}
        # When the log was told last of the present trouble; None while there is none.
        self._told: float | None = None
        self._since = 0.0

    def hear(self) -> None:
        """Note that the broker has answered."""
        self._last_contact = self._clock()

    @property
    def connected(self) -> bool:
        """Tell whether the broker has been heard recently."""
        return self._clock() - self._last_contact < self._silence

    @property
    def last_contact(self) -> float:
        """Return when the broker was heard last, by the clock."""
        return self._last_contact

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Count a request as waiting for its success; `what` completes "the broker has not ..."."""
        request = object()
        self._waiting[request] = what, self._clock()
        try:
            yield
        finally:
            self._waiting.pop(request, None)

    def refused(self, what: str) -> None:
        """Note that the broker could not serve a request that is repeated until it does; `what` as in `waiting`."""
        now = self._clock()
        since, last = self._refused.get(what, (now, now))
        self._refused[what] = (now if now - last > _FORGOTTEN_SECONDS else since), now

    def served(self, what: str) -> None:
        """Note that the broker has served a request of this kind."""
        self._refused.pop(what, None)

    @property
    def trouble(self) -> str:
        """Return what the broker does not do, and for how long; empty while it does everything."""
        found = self._trouble()
        return "" if found is None else f"{found[0]} for {self._clock() - found[1]:.0f} s"

    def _trouble(self) -> tuple[str, float] | None:
        if not self.connected:
            return "not heard", self._last_contact
        now = self._clock()
        unserved = [
            *self._waiting.values(),
            # A copy: the consumer's thread writes to it.
            *(
                (what, since)
                for what, (since, last) in self._refused.copy().items()
                if now - last <= _FORGOTTEN_SECONDS
            ),
        ]
        what, since = min(unserved, key=lambda each: each[1], default=("", now))
        return (f"answers, but has not {what}", since) if now - since >= self._silence else None

    def remind(self) -> None:
        """Log a trouble when it begins, once a minute while it lasts, and when it is over."""
        now, found = self._clock(), self._trouble()
        if found is not None:
            if self._told is None or now - self._told >= _AGAIN_SECONDS:
                self._told = now
                log.warning("broker does not serve", trouble=self.trouble)
            self._since = found[1]
        elif self._told is not None:
            self._told = None
            log.info("broker serves again", seconds=round(now - self._since))
