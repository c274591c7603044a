"""The times of schedules: clock changes, catching up, bounds."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kaon_coordinator.schedules import times
from kaon_wire.errors import InvalidValue
from kaonapi.schedule.v1 import schedule_pb2 as s


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


def cron(expression: str, zone: str = "", **fields: Any) -> s.Schedule:
    return s.Schedule(cron=s.Cron(expression=expression, time_zone=zone), **fields)


def every(milliseconds: int, **fields: Any) -> s.Schedule:
    return s.Schedule(interval=s.Interval(every_ms=milliseconds), **fields)


def some(schedule: s.Schedule, begin: str, count: int) -> list[str]:
    """The first times after a moment, as UTC."""
    found = itertools.islice(times.after(schedule, us(begin)), count)
    return [datetime.fromtimestamp(each / 1e6, UTC).strftime("%m-%d %H:%M") for each in found]


def test_a_cron_expression_counts_in_its_time_zone() -> None:
    daily = cron("0 3 * * *", "Europe/Berlin")
    assert some(daily, "2026-01-10T12:00+00:00", 2) == ["01-11 02:00", "01-12 02:00"]
    assert some(daily, "2026-07-10T12:00+00:00", 1) == ["07-11 01:00"]
    assert some(cron("*/20 9-10 * * 1"), "2026-11-23T09:30+00:00", 3) == [
        "11-23 09:40",
        "11-23 10:00",
        "11-23 10:20",
    ]


def test_a_time_that_a_clock_change_skips_is_done_at_the_change() -> None:
    # 02:30 does not exist in Berlin on 29 March 2026: clocks go from 02:00 to 03:00, which is 01:00 UTC.
    assert some(cron("30 2 * * *", "Europe/Berlin"), "2026-03-28T12:00+00:00", 2) == [
        "03-29 01:00",
        "03-30 00:30",
    ]


def test_a_time_that_comes_twice_is_done_once() -> None:
    # 02:30 comes twice in Berlin on 25 October 2026: at 00:30 and at 01:30 UTC.
    found = some(cron("30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00+00:00", 2)
    assert found[0] in {"10-25 00:30", "10-25 01:30"}
    assert found[1] == "10-26 01:30"


def test_every_hour_comes_also_when_the_clock_changes() -> None:
    hourly = cron("0 * * * *", "Europe/Berlin")
    for day in ("2026-03-28", "2026-10-24"):
        found = list(itertools.islice(times.after(hourly, us(f"{day}T20:00+00:00")), 12))
        assert {later - earlier for earlier, later in itertools.pairwise(found)} == {3_600_000_000}


def test_an_interval_counts_from_its_anchor() -> None:
    assert some(every(90 * 60_000), "1970-01-01T01:00+00:00", 2) == ["01-01 01:30", "01-01 03:00"]
    anchored = every(3_600_000)
    anchored.interval.anchor.FromMicroseconds(us("2026-05-01T00:10+00:00"))
    assert some(anchored, "2026-05-01T07:10+00:00", 1) == ["05-01 08:10"]
    assert some(anchored, "2026-04-30T22:00+00:00", 1) == ["04-30 22:10"]


def test_nothing_comes_before_the_start_or_after_the_end() -> None:
    bounded = every(3_600_000)
    bounded.start_time.FromMicroseconds(us("2026-05-01T05:00+00:00"))
    bounded.end_time.FromMicroseconds(us("2026-05-01T07:00+00:00"))
    assert some(bounded, "2026-05-01T00:00+00:00", 9) == [
        "05-01 05:00",
        "05-01 06:00",
        "05-01 07:00",
    ]
    assert times.next_due_us(bounded, us("2026-05-01T07:00+00:00")) is None


@pytest.mark.parametrize(
    ("catch_up", "count"),
    [
        (s.CATCH_UP_UNSPECIFIED, 1),
        (s.CATCH_UP_LATEST, 1),
        (s.CATCH_UP_ALL, 5),
        (s.CATCH_UP_NONE, 0),
    ],
)
def test_times_that_nobody_treated_are_made_up_for_as_the_policy_says(
    catch_up: Any, count: int
) -> None:
    hourly = cron("0 * * * *", catch_up=catch_up)
    last, now = us("2026-05-01T10:00+00:00"), us("2026-05-01T15:20+00:00")
    found = times.due_times(hourly, last, now)
    assert len(found) == count
    assert found == sorted(found)
    if count:
        assert found[-1] == us("2026-05-01T15:00+00:00")


def test_a_time_that_has_just_come_is_not_missed() -> None:
    hourly = cron("0 * * * *", catch_up=s.CATCH_UP_NONE)
    last, come = us("2026-05-01T10:00+00:00"), us("2026-05-01T11:00+00:00")
    assert times.due_times(hourly, last, come + 30_000_000) == [come]
    assert times.due_times(hourly, come, come + 30_000_000) == []


def test_years_of_missed_times_are_bounded_and_quickly_told() -> None:
    now = us("2026-05-01T00:00+00:00")
    last = now - int(timedelta(days=3650).total_seconds()) * 1_000_000
    assert times.due_times(cron("* * * * *"), last, now) == [now]
    found = times.due_times(every(1_000, catch_up=s.CATCH_UP_ALL), last, now)
    assert (len(found), found[-1]) == (times.CATCH_UP_LIMIT, now)
    assert times.due_times(cron("0 0 29 2 *"), last, now) == [us("2024-02-29T00:00+00:00")]


def test_several_expressions_give_the_times_of_all_each_once() -> None:
    both = s.Schedule(cron=s.Cron(expression="@daily", more_expressions=["0 */12 * * *"]))
    assert some(both, "2026-05-01T06:00+00:00", 3) == ["05-01 12:00", "05-02 00:00", "05-02 12:00"]
    words = {
        "@hourly": "05-01 07:00",
        "@daily": "05-02 00:00",
        "@weekly": "05-03 00:00",
        "@monthly": "06-01 00:00",
        "@yearly": "01-01 00:00",
    }
    for word, first in words.items():
        assert some(cron(word), "2026-05-01T06:00+00:00", 1) == [first]


def test_jitter_delays_a_run_by_what_its_name_and_time_say() -> None:
    """Whoever asks gets the same delay, and the times are spread."""
    hourly = cron("@hourly", jitter_ms=3_600_000, name="nightly", catch_up=s.CATCH_UP_ALL)
    begin, hour_us = us("2026-05-01T00:00+00:00"), 3_600_000_000
    moments = [begin + number * hour_us for number in range(1, 200)]
    delays = [times.delay_us(hourly, each) for each in moments]
    assert delays == [times.delay_us(hourly, each) for each in moments]
    assert max(delays) < hour_us
    assert len({delay * 4 // hour_us for delay in delays}) == 4
    other = cron("@hourly", jitter_ms=3_600_000, name="other")
    assert delays != [times.delay_us(other, each) for each in moments]


def test_every_time_with_jitter_is_due_once_and_no_later_than_its_delay_allows() -> None:
    """Also where the jitter is longer than the distance of the times."""
    often = cron("*/5 * * * *", jitter_ms=1_800_000, name="often", catch_up=s.CATCH_UP_ALL)
    begin, minute_us = us("2026-05-01T00:00+00:00"), 60_000_000
    last_us, found = begin, []
    for now_us in range(begin, begin + 300 * minute_us, minute_us):
        due = times.due_times(often, last_us, now_us)
        last_us = times.covered_us(often, last_us, now_us)
        assert all(0 <= now_us - each <= 31 * minute_us for each in due)
        assert now_us < (times.next_due_us(often, last_us) or 0)
        found += due
    assert found == [begin + number * 5 * minute_us for number in range(1, len(found) + 1)]
    assert len(found) >= (300 - 31) // 5


def test_a_delayed_time_is_not_missed() -> None:
    late = cron("@daily", jitter_ms=86_400_000, name="late", catch_up=s.CATCH_UP_NONE)
    time_us = us("2026-05-02T00:00+00:00")
    due_us = time_us + times.delay_us(late, time_us)
    assert times.due_times(late, time_us - 1, due_us - 1) == []
    assert times.due_times(late, time_us - 1, due_us) == [time_us]


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        (cron("61 * * * *"), "61"),
        (cron("* * * * * *"), "five fields"),
        (cron("0 0 * * *", "Europe/Atlantis"), "no such time zone"),
        (every(10), "interval.every_ms"),
        (s.Schedule(cron=s.Cron(expression="@daily", more_expressions=["@often"])), "@often"),
        (s.Schedule(cron=s.Cron(expression="@daily", more_expressions=["@daily"] * 32)), "at most"),
        (cron("0 0 30 2 *"), "30 2"),
        (every(60_000, jitter_ms=60_001), "at most the interval of 60000"),
        (s.Schedule(run_finished=s.RunFinished(workflow="w"), jitter_ms=1), "only a cron"),
    ],
)
def test_what_cannot_be_a_time_is_told(schedule: s.Schedule, told: str) -> None:
    with pytest.raises(InvalidValue, match=told):
        times.check(schedule)
