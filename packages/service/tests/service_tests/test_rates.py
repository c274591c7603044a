"""Limits of tenants: how fast they call, and how many streams they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kaon_service.access.limits import AllLimits, TenantLimits, limits_from, load_limits
from kaon_service.access.rates import Rates
from kaon_wire.errors import Exhausted, InvalidValue


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def rates(clock: Clock, **limits: int) -> Rates:
    return Rates(AllLimits(named={"red": TenantLimits(**limits)}), clock)


def calls(counted: Rates, tenant: str, most: int = 1_000) -> int:
    for number in range(most):
        try:
            counted.call(tenant)
        except Exhausted:
            return number
    return most


def test_a_tenant_calls_so_often_at_once_and_then_at_its_pace() -> None:
    clock = Clock()
    counted = rates(clock, calls_per_second=5)
    assert calls(counted, "red") == 10
    clock.now += 1.0
    assert calls(counted, "red") == 5
    clock.now += 60.0
    assert calls(counted, "red") == 10


def test_a_refused_call_says_when_to_try_again_and_is_then_accepted() -> None:
    clock = Clock()
    counted = rates(clock, calls_per_second=4)
    calls(counted, "red")
    with pytest.raises(Exhausted, match="limit calls_per_second") as refused:
        counted.call("red")
    assert refused.value.retry_seconds == pytest.approx(0.25)
    clock.now += refused.value.retry_seconds
    counted.call("red")


def test_another_tenant_is_not_held_back() -> None:
    counted = rates(Clock(), calls_per_second=1)
    calls(counted, "red")
    assert calls(counted, "blue") == 1_000


def test_streams_are_counted_while_they_are_open() -> None:
    counted = rates(Clock(), streams=1)
    with counted.stream("red"), pytest.raises(Exhausted, match="limit streams"):
        with counted.stream("red"):
            pass
    with counted.stream("red"), counted.stream("blue"), counted.stream("blue"):
        pass


def test_submissions_have_a_pace_of_their_own() -> None:
    clock = Clock()
    counted = rates(clock, submissions_per_minute=2)
    counted.submission("red")
    counted.submission("red")
    with pytest.raises(Exhausted, match="submissions_per_minute"):
        counted.submission("red")
    clock.now += 30.0
    counted.submission("red")


def test_a_tenant_takes_what_it_does_not_set_from_the_default() -> None:
    found = limits_from(
        {
            "default": {"weight": 1, "limits": {"streams": 7, "schedules": 3}},
            "tenants": {"red": {"limits": {"streams": 9}}, "blue": {"weight": 2}},
        }
    )
    assert found.of("red") == TenantLimits(streams=9, schedules=3)
    assert found.of("blue") == found.of("nobody") == TenantLimits(streams=7, schedules=3)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"default": {"limits": {"stream": 1}}}, r"default.limits.stream: not known"),
        ({"tenants": {"red": {"limits": {"streams": -1}}}}, r"tenants.red.limits.streams: -1 is"),
        ({"tenants": {"red": {"limits": {"streams": True}}}}, r"tenants.red.limits.streams: True"),
        ({"tenants": {"red": {"limits": 3}}}, r"tenants.red.limits: is not a table"),
    ],
)
def test_a_wrong_limit_is_named_with_its_place(document: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        limits_from(document)


def test_errors_of_the_file_name_it(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text("[default.limits]\nstreams = 'many'\n")
    with pytest.raises(InvalidValue, match=r"KAON_TENANTS: .*tenants.toml: default.limits.streams"):
        load_limits(str(path))
