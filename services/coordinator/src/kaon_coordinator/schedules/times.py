"""The times of a schedule. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from kaon_wire.errors import InvalidValue
from kaonapi.schedule.v1 import schedule_pb2 as s

SECOND_US = 1_000_000
# Upper bound of missed times that are caught up.
CATCH_UP_LIMIT = 1_000
# The shortest valid interval; a shorter one is a mistake.
SHORTEST_MS = 1_000
# A time counts as missed after this delay.
GRACE_US = 60 * SECOND_US
_FIRST_WINDOW_US = 3_600 * SECOND_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check(schedule: s.Schedule) -> None:
    """Check the schedule's times.

    Raises:
        InvalidValue: The times are malformed; the text gives the reason.
    """
    if schedule.HasField("cron"):
        next(_cron(schedule.cron, 0))
    elif schedule.HasField("interval") and schedule.interval.every_ms < SHORTEST_MS:
        raise InvalidValue(f"interval.every_ms: use at least {SHORTEST_MS}")


def is_timed(schedule: s.Schedule) -> bool:
    """Tell whether the schedule has times, not a trigger."""
    return schedule.HasField("cron") or schedule.HasField("interval")


def after(schedule: s.Schedule, time_us: int) -> Iterator[int]:
    """Yield the times after `time_us`, ascending, within the schedule's start and end. Microseconds since the epoch."""
    start_us = schedule.start_time.ToMicroseconds() if schedule.HasField("start_time") else 0
    end_us = schedule.end_time.ToMicroseconds() if schedule.HasField("end_time") else None
    # The start itself counts.
    begin_us = max(time_us, start_us - 1)
    times = (
        _cron(schedule.cron, begin_us)
        if schedule.HasField("cron")
        else _interval(schedule, begin_us)
    )
    for each in times:
        if end_us is not None and each > end_us:
            return
        if each > begin_us:
            yield each


def next_after(schedule: s.Schedule, time_us: int) -> int | None:
    """Return the first time after `time_us`, or None when there is none."""
    return next(after(schedule, time_us), None)


def due_times(schedule: s.Schedule, last_us: int, now_us: int) -> list[int]:
    """Return the due times after `last_us` that the catch-up policy keeps, oldest first.

    Args:
        schedule: The schedule.
        last_us: The newest evaluated time.
        now_us: Microseconds since the epoch.
    """
    if schedule.catch_up == s.CATCH_UP_ALL:
        return _newest(schedule, last_us, now_us, CATCH_UP_LIMIT)
    newest = _newest(schedule, last_us, now_us, 1)
    if schedule.catch_up == s.CATCH_UP_NONE:
        return [each for each in newest if now_us - each < GRACE_US]
    return newest


def _newest(schedule: s.Schedule, last_us: int, now_us: int, count: int) -> list[int]:
    """Return the newest `count` times since `last_us`.

    The search goes back in growing windows, so that years of missed times need not all be computed.
    """
    window_us = _FIRST_WINDOW_US
    while True:
        begin_us = max(last_us, now_us - window_us)
        found = deque(
            takewhile(lambda each: each <= now_us, after(schedule, begin_us)), maxlen=count
        )
        if len(found) == count or begin_us == last_us:
            return list(found)
        window_us *= 8


def _interval(schedule: s.Schedule, time_us: int) -> Iterator[int]:
    every_us = schedule.interval.every_ms * 1000
    anchor_us = (
        schedule.interval.anchor.ToMicroseconds() if schedule.interval.HasField("anchor") else 0
    )
    next_us = anchor_us + ((time_us - anchor_us) // every_us + 1) * every_us
    while True:
        yield next_us
        next_us += every_us


def _cron(cron: s.Cron, time_us: int) -> Iterator[int]:
    if len(cron.expression.split()) != 5:
        raise InvalidValue(
            f"cron.expression {cron.expression!r}: use five fields: minute, hour, day, month, weekday"
        )
    try:
        zone = ZoneInfo(cron.time_zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidValue(
            f"cron.time_zone {cron.time_zone!r}: there is no such time zone"
        ) from error
    begin = (_EPOCH + timedelta(microseconds=time_us)).astimezone(zone)
    try:
        times = CronSim(cron.expression, begin)
    except CronSimError as error:
        raise InvalidValue(f"cron.expression {cron.expression!r}: {error}") from error
    for each in times:
        yield (each.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
