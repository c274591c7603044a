"""Reliability of runners: slow runners come last, and runners that lose steps repeatedly rest."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from kaon_coordinator.matching.matcher_settings import MatcherSettings


@dataclass(eq=False, slots=True, kw_only=True)
class Health:
    """The faults of one incarnation of a runner. Its next incarnation starts without any."""

    # When it lost or handed back an unstarted step.
    faults: deque[float] = field(default_factory=lambda: deque(maxlen=16))
    # It gets no steps until then.
    rest_until: float = 0.0
    # Rests since it last worked for the longest rest without a fault.
    rests: int = 0
    # It comes last until then.
    slow_until: float = 0.0

    def fault(self, now: float, settings: MatcherSettings) -> bool:
        """Record a fault; return True when the runner should rest."""
        self.faults.append(now)
        return self.recent(now, settings) >= settings.faults and now >= self.rest_until

    def recent(self, now: float, settings: MatcherSettings) -> int:
        """Return the faults that still count."""
        return sum(1 for time in self.faults if now - time <= settings.fault_window)

    def rest(self, now: float, settings: MatcherSettings) -> None:
        """Rest, twice as long as the last time."""
        if now - self.rest_until > settings.longest_rest:
            self.rests = 0
        self.rest_until = now + min(settings.rest * 2**self.rests, settings.longest_rest)
        self.rests = min(self.rests + 1, 16)
        self.faults.clear()

    def slow(self, now: float, settings: MatcherSettings) -> bool:
        """Record slowness; return True when the runner was not slow before."""
        known = now < self.slow_until
        self.slow_until = now + settings.slow_for
        return not known
