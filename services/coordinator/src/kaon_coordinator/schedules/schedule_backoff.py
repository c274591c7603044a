"""Backoff of schedules whose evaluation failed."""

from __future__ import annotations

from dataclasses import dataclass

from kaon_coordinator.store.base import ScheduleRecord

# The first delay and the longest; each further delay is twice as long.
_FIRST_US = 5_000_000
_LONGEST_US = 300_000_000


@dataclass(frozen=True, kw_only=True)
class _Delay:
    """The delay of one schedule."""

    # Returns microseconds since the epoch.
    until_us: int
    length_us: int
    # The revision that failed: a change of the schedule ends its delay.
    revision: int


class Backoff:
    """The delays of schedules that failed."""

    def __init__(self) -> None:
        self._delays: dict[tuple[str, str], _Delay] = {}

    def holds(self, schedule: ScheduleRecord, now_us: int) -> bool:
        """Tell whether the schedule must not be evaluated yet."""
        delay = self._delays.get((schedule.tenant, schedule.name))
        return delay is not None and delay.revision == schedule.revision and now_us < delay.until_us

    def record_failure(self, schedule: ScheduleRecord, revision: int, now_us: int) -> None:
        """Begin a delay, longer than the one before. The schedule has this revision now."""
        known = self._delays.get((schedule.tenant, schedule.name))
        again = known is not None and known.revision == schedule.revision
        length_us = (
            min(known.length_us * 2, _LONGEST_US) if known is not None and again else _FIRST_US
        )
        self._delays[schedule.tenant, schedule.name] = _Delay(
            until_us=now_us + length_us, length_us=length_us, revision=revision
        )

    def clear(self, schedule: ScheduleRecord) -> None:
        """End the delays: the evaluation has succeeded."""
        self._delays.pop((schedule.tenant, schedule.name), None)
