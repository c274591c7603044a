"""Determines when a schedule is due, and the occasions of its times. Pure."""

from __future__ import annotations

from dataclasses import replace

from kaon_coordinator.schedules import times
from kaon_coordinator.schedules.combining import leaves, state_of
from kaon_coordinator.schedules.schedule_state import Occasion, ScheduleState
from kaonapi.schedule.v1 import schedule_pb2 as s

# A time that never comes.
NEVER_US = 1 << 62
# Due at every scan.
ALWAYS_US = 0


def first_state(schedule: s.Schedule, now_us: int) -> ScheduleState:
    """Return the state of a new schedule: it begins now, or with CATCH_UP_ALL at a start in the past."""
    last_us = now_us
    if schedule.catch_up == s.CATCH_UP_ALL and schedule.HasField("start_time"):
        last_us = min(now_us, schedule.start_time.ToMicroseconds() - 1)
    return ScheduleState(last_us=last_us, cursor_us=now_us)


def next_scan_us(schedule: s.Schedule, state: ScheduleState, now_us: int) -> int:
    """Return the time at which the schedule must be evaluated next."""
    if schedule.paused:
        return NEVER_US
    if state.buffered is not None:
        return ALWAYS_US
    if schedule.HasField("triggers"):
        parts = ((leaf.schedule, state_of(leaf, state)) for leaf in leaves(schedule))
        return min(next_scan_us(alone, part, now_us) for alone, part in parts)
    if times.is_timed(schedule):
        return times.next_due_us(schedule, state.last_us) or NEVER_US
    if schedule.HasField("end_time") and schedule.end_time.ToMicroseconds() < now_us:
        return NEVER_US
    return ALWAYS_US


def next_time_us(schedule: s.Schedule, state: ScheduleState) -> int:
    """Return when the next time is due; `NEVER_US` when there is none."""
    parts = [(leaf.schedule, state_of(leaf, state)) for leaf in leaves(schedule)]
    timed = [each for each in [(schedule, state), *parts] if times.is_timed(each[0])]
    alone = [next_scan_us(one, replace(part, buffered=None), 0) for one, part in timed]
    return min(alone, default=NEVER_US)


def due_occasions(
    schedule: s.Schedule, state: ScheduleState, now_us: int
) -> tuple[list[Occasion], int]:
    """Return the occasions of the times that are due, and the newest time that they cover."""
    following = times.next_due_us(schedule, state.last_us)
    if following is None or following > now_us:
        return [], state.last_us
    due = times.due_times(schedule, state.last_us, now_us)
    # The times that the catch-up policy leaves out are covered, too.
    return [Occasion(key=str(each), time_us=each) for each in due], times.covered_us(
        schedule, state.last_us, now_us
    )


def is_within(schedule: s.Schedule, time_us: int) -> bool:
    """Tell whether a time lies between the schedule's start and end."""
    if schedule.HasField("start_time") and time_us < schedule.start_time.ToMicroseconds():
        return False
    return not (schedule.HasField("end_time") and time_us > schedule.end_time.ToMicroseconds())
