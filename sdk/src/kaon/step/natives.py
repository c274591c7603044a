"""Times and durations in a step's inputs and outputs: texts in JSON, `datetime` and `timedelta` in Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

_PART = re.compile(r"(\d+(?:\.\d+)?)(d|h|ms|us|ns|m|s)")
_SECONDS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.upper())


def _duration(text: str) -> timedelta:
    seconds = sum(float(amount) * _SECONDS[unit] for amount, unit in _PART.findall(text))
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)


_READ: Mapping[str, Callable[[str], Any]] = {"datetime": _time, "duration": _duration}


def revive(value: Any, kind: Any) -> Any:
    """Return an input as Python has it.

    Args:
        value: JSON.
        kind: "datetime", "duration", or what is inside of a list or map: {"list": "datetime"}.
    """
    if isinstance(kind, str):
        if isinstance(value, list):
            return [revive(each, kind) for each in value]
        return _READ[kind](value) if isinstance(value, str) and kind in _READ else value
    inner = next(iter(kind.values()))
    if isinstance(value, list):
        return [revive(each, inner) for each in value]
    if isinstance(value, dict):
        return {key: revive(each, inner) for key, each in value.items()}
    return value


def text_of(value: Any) -> str | None:
    """Return a date, time or duration as JSON has it; None for another value.

    Raises:
        ValueError: a time does not say in which zone it is.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(
                f"{value.isoformat()} does not say in which zone it is: give a datetime with tzinfo"
            )
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        seconds, rest = divmod(abs(value), timedelta(seconds=1))
        fraction = f".{rest.microseconds:06d}".rstrip("0") if rest else ""
        return f"{'-' if value < timedelta() else ''}{seconds}{fraction}s"
    return None
