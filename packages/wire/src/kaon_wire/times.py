"""Times and durations as people write them in values: "2026-11-24T06:00:00Z" and "1h30m"."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from kaon_wire.errors import InvalidValue

_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?P<offset>[Zz]|[+-]\d\d:\d\d)?\Z", re.ASCII
)
_PART = re.compile(r"(\d+(?:\.\d+)?)(d|h|ms|us|ns|m|s)", re.ASCII)
_SECONDS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_LONGEST = 80


def read_date(text: str) -> date:
    """Read a calendar date such as "2026-11-24".

    Raises:
        InvalidValue: The text is none.
    """
    try:
        if _DATE.match(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidValue(f'{_shown(text)} is no date such as "2026-11-24"')


def read_time(text: str) -> datetime:
    """Read a time with its offset, as RFC 3339 writes it.

    Raises:
        InvalidValue: The text is none, or does not say in which zone it is.
    """
    found = _TIME.match(text)
    if found is not None and found["offset"] is None:
        raise InvalidValue(
            f'{_shown(text)} does not say in which zone it is: write "{text}Z" for UTC, or an offset such as "{text}+01:00"'
        )
    try:
        if found is not None:
            return datetime.fromisoformat(text.upper())
    except ValueError:
        pass
    raise InvalidValue(f'{_shown(text)} is no time such as "2026-11-24T06:00:00Z"')


class TooLong(InvalidValue):
    """A duration is longer than any that is computed with."""


def read_duration(text: str) -> timedelta:
    """Read a length of time such as "1h30m" or "2d"; "-" before it makes it negative.

    Raises:
        InvalidValue: The text is none.
        TooLong: The duration is too long.
    """
    body = text.removeprefix("-")
    parts = _PART.findall(body[:_LONGEST])
    if not parts or "".join(map("".join, parts)) != body:
        raise InvalidValue(f'{_shown(text)} is no duration such as "30s", "1h30m" or "2d"')
    try:
        total = timedelta(seconds=sum(float(amount) * _SECONDS[unit] for amount, unit in parts))
    except OverflowError:
        raise TooLong(f"{_shown(text)} is longer than a duration can be") from None
    return total if body == text else -total


def time_text(value: datetime) -> str:
    """Return a time in RFC 3339."""
    return value.isoformat().replace("+00:00", "Z")


def duration_text(value: timedelta) -> str:
    """Return a duration in seconds, such as "5400s" or "0.25s"."""
    micros = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    seconds, rest = divmod(abs(micros), 1_000_000)
    fraction = f".{rest:06d}".rstrip("0") if rest else ""
    return f"{'-' if micros < 0 else ''}{seconds}{fraction}s"


def _shown(text: str) -> str:
    return repr(text[:_LONGEST])
