"""Prefetch: the number of steps released to a runner in advance.

It covers the round trip: slots x (1 + round trip / step duration). Short steps then travel in batches, and
long ones are not hoarded. Times are seconds.
"""

from __future__ import annotations

_WEIGHT = 0.2
# Upper bound of a plausible round trip: anything longer is a step's duration.
_LONGEST_ROUND_TRIP = 0.05
_SHORTEST_STEP = 0.00025


class Prefetch:
    """The prefetch factor of one runner, from its reported average duration and the delays of its steps' ends."""

    def __init__(self) -> None:
        self._round_trip = _LONGEST_ROUND_TRIP
        self._duration: float | None = None
        self._reported: float | None = None

    def report(self, seconds: float) -> None:
        """Take the average step duration that the runner reports; 0 when it has none."""
        self._reported = seconds or None

    def record(self, seconds: float, queue_factor: float) -> None:
        """Record that a step ended `seconds` after its release, when `queue_factor` steps were outstanding for each slot."""
        self._round_trip = min(
            self._round_trip * 1.01, max(seconds, _SHORTEST_STEP), _LONGEST_ROUND_TRIP
        )
        duration = max(seconds - self._round_trip, 0.0) / max(queue_factor, 1.0)
        if self._duration is None:
            self._duration = duration
        self._duration += _WEIGHT * (duration - self._duration)

    def factor(self, most: float) -> float:
        """Return the outstanding steps for each slot, from 1 to `most`."""
        known = [duration for duration in (self._duration, self._reported) if duration is not None]
        if not known:
            return 1.0
        # Steps hoarded by mistake are withdrawn; steps that travel one by one by mistake stay slow.
        duration = min(known)
        return min(most, 1.0 + self._round_trip / max(duration, _SHORTEST_STEP))
