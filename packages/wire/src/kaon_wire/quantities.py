"""Durations and sizes as people write them."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta

from kaon_wire import bounds
from kaon_wire.errors import InvalidValue
from kaon_wire.times import TooLong, read_duration

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)")
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_LARGEST = 2**50
# Characters of a text that is read.
_LONGEST = 100


def milliseconds(duration: object) -> int:
    """Parse a duration: "1h30m", a number of seconds, or a timedelta.

    Raises:
        InvalidValue: It cannot be read, is negative, or is longer than ten years.
    """
    total = -1.0
    with suppress(InvalidValue):
        try:
            given = read_duration(duration) if isinstance(duration, str) else duration
        except TooLong:
            given = bounds.LONGEST_MS
        if isinstance(given, timedelta):
            given = given.total_seconds()
        if isinstance(given, int | float) and not isinstance(given, bool):
            total = min(given, bounds.LONGEST_MS) * 1000
    if not total >= 0:
        raise InvalidValue(
            f'{duration!r:.100} is no duration; write "30s", "10m", "1h30m" or a number of seconds'
        )
    if total > bounds.LONGEST_MS:
        raise InvalidValue(
            f"{duration!r} is longer than {bounds.LONGEST_MS} ms, which are ten years"
        )
    return round(total)


def size_in_bytes(size: object) -> int:
    """Parse a size: "512MiB", or a number of bytes.

    Raises:
        InvalidValue: It cannot be read, is negative, or is more than 1024 TiB.
    """
    total = -1.0
    if isinstance(size, int) and not isinstance(size, bool):
        total = min(size, _LARGEST + 1)
    elif (
        isinstance(size, str) and len(size) <= _LONGEST and (match := _SIZE.fullmatch(size.strip()))
    ):
        total = float(match[1]) * _BYTES[match[2]]
    if total < 0:
        raise InvalidValue(f'{size!r:.100} is no size; write "512MiB", "2GB" or a number of bytes')
    if total > _LARGEST:
        raise InvalidValue(f"{size!r:.100} is more than {_LARGEST} bytes, which are 1024 TiB")
    return round(total)
