"""The times of a schedule. Pure."""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby, takewhile
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
# Upper bound of cron expressions of one schedule.
MOST_EXPRESSIONS = 32
# Upper bound of the jitter.
LONGEST_JITTER_MS = 86_400_000
_FIRST_WINDOW_US = 3_600 * SECOND_US
# The words that stand for an expression.
WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check(schedule: s.Schedule) -> None:
    """Check the schedule's times.

    Raises:
        InvalidValue: The times are malformed; the text gives the reason.
    """
    if schedule.HasField("cron"):
        if len(expressions(schedule.cron)) > MOST_EXPRESSIONS:
            raise InvalidValue(f"cron: use at most {MOST_EXPRESSIONS} expressions")
        for expression in expressions(schedule.cron):
            if next(_cron(expression, _zone(schedule.cron), 0), None) is None:
                raise InvalidValue(f"cron.expression {expression!r}: it has no time")
    elif schedule.HasField("interval") and schedule.interval.every_ms < SHORTEST_MS:
        raise InvalidValue(f"interval.every_ms: use at least {SHORTEST_MS}")
    _check_jitter(schedule)


def _check_jitter(schedule: s.Schedule) -> None:
    if schedule.jitter_ms and not is_timed(schedule):
        raise InvalidValue("jitter_ms: only a cron or an interval has a jitter")
    every_ms = schedule.interval.every_ms or LONGEST_JITTER_MS
    if schedule.jitter_ms > every_ms:
        raise InvalidValue(
            f"jitter_ms {schedule.jitter_ms}: use at most the interval of {every_ms}"
        )


def expressions(cron: s.Cron) -> list[str]:
    """Return all expressions of a cron."""
    return [cron.expression, *cron.more_expressions]


def delay_us(schedule: s.Schedule, time_us: int) -> int:
    """Return how much after a time its run is due: less than the jitter, the same whenever it is asked."""
    if not schedule.jitter_ms:
        return 0
    drawn = hashlib.sha256(f"{schedule.name}:{time_us}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") % (schedule.jitter_ms * 1000)


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
        _crons(schedule.cron, begin_us)
        if schedule.HasField("cron")
        else _interval(schedule, begin_us)
    )
    for each in times:
        if end_us is not None and each > end_us:
            return
        if each > begin_us:
            yield each


def rfc3339(time_us: int) -> str:
    """Return a time as text."""
    return datetime.fromtimestamp(time_us / SECOND_US, UTC).isoformat().replace("+00:00", "Z")


def next_due_us(schedule: s.Schedule, last_us: int) -> int | None:
    """Return when the first time after `last_us` is due, with its delay; None when there is none."""
    time_us = next(after(schedule, last_us), None)
    return None if time_us is None else time_us + delay_us(schedule, time_us)


def covered_us(schedule: s.Schedule, last_us: int, now_us: int) -> int:
    """Return the moment up to which all times after `last_us` are due now.

    Times are due in their order: one that is delayed delays those that come after it.
    """
    begin_us = max(last_us, now_us - schedule.jitter_ms * 1000)
    for each in takewhile(lambda each: each <= now_us, after(schedule, begin_us)):
        if each + delay_us(schedule, each) > now_us:
            return each - 1
    return now_us


def due_times(schedule: s.Schedule, last_us: int, now_us: int) -> list[int]:
    """Return the due times after `last_us` that the catch-up policy keeps, oldest first.

    Args:
        schedule: The schedule.
        last_us: The newest evaluated time.
        now_us: Microseconds since the epoch.
    """
    until_us = covered_us(schedule, last_us, now_us)
    if schedule.catch_up == s.CATCH_UP_ALL:
        return _newest(schedule, last_us, until_us, CATCH_UP_LIMIT)
    newest = _newest(schedule, last_us, until_us, 1)
    if schedule.catch_up == s.CATCH_UP_NONE:
        return [each for each in newest if now_us - each - delay_us(schedule, each) < GRACE_US]
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


def _crons(cron: s.Cron, time_us: int) -> Iterator[int]:
    """Yield the times of all expressions in order, each once."""
    zone = _zone(cron)
    times = heapq.merge(*(_cron(each, zone, time_us) for each in expressions(cron)))
    for each, _ in groupby(times):
        yield each


def _zone(cron: s.Cron) -> ZoneInfo:
    try:
        return ZoneInfo(cron.time_zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidValue(
            f"cron.time_zone {cron.time_zone!r}: there is no such time zone"
        ) from error


def _cron(expression: str, zone: ZoneInfo, time_us: int) -> Iterator[int]:
    fields = WORDS.get(expression, expression)
    if len(fields.split()) != 5:
        raise InvalidValue(
            f"cron.expression {expression!r}: use five fields (minute, hour, day, month, weekday) or one of "
            f"{', '.join(WORDS)}"
        )
    begin = (_EPOCH + timedelta(microseconds=time_us)).astimezone(zone)
    try:
        times = CronSim(fields, begin)
    except CronSimError as error:
        raise InvalidValue(f"cron.expression {expression!r}: {error}") from error
    for each in times:
        yield (each.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
