"""Schedules that are left alone for a while, because looking at them did not work."""

from __future__ import annotations

from dataclasses import dataclass

from kaon_coordinator.store.base import ScheduleRecord

# The first rest, and the longest; each further one is twice as long.
_FIRST_US = 5_000_000
_LONGEST_US = 300_000_000


@dataclass(frozen=True, kw_only=True)
class _Rest:
    """One schedule's rest."""

    # Microseconds since the epoch.
    until_us: int
    seconds_us: int
    # What was looked at: when somebody changes the schedule, its rest is over.
    revision: int


class Resting:
    """Who rests until when."""

    def __init__(self) -> None:
        self._rests: dict[tuple[str, str], _Rest] = {}

    def rests(self, schedule: ScheduleRecord, now_us: int) -> bool:
        """Whether the schedule is left alone for now."""
        rest = self._rests.get((schedule.tenant, schedule.name))
        return rest is not None and rest.revision == schedule.revision and now_us < rest.until_us

    def begin(self, schedule: ScheduleRecord, revision: int, now_us: int) -> None:
        """Looking at it did not work; it has this revision now."""
        known = self._rests.get((schedule.tenant, schedule.name))
        again = known is not None and known.revision == schedule.revision
        length_us = min(known.seconds_us * 2, _LONGEST_US) if known is not None and again else _FIRST_US
        self._rests[schedule.tenant, schedule.name] = _Rest(
            until_us=now_us + length_us, seconds_us=length_us, revision=revision
        )

    def end(self, schedule: ScheduleRecord) -> None:
        """Looking at it has worked."""
        self._rests.pop((schedule.tenant, schedule.name), None)
