"""Determines when a schedule is due, and the occasions of its times. Pure."""

from __future__ import annotations

from kaon_coordinator.schedules import times
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
    if times.is_timed(schedule):
        return times.next_due_us(schedule, state.last_us) or NEVER_US
    if schedule.HasField("end_time") and schedule.end_time.ToMicroseconds() < now_us:
        return NEVER_US
    return ALWAYS_US


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
