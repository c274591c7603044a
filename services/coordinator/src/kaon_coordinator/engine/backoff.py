"""Waits that grow: between the attempts of a step, and between the iterations of a repeat."""

from __future__ import annotations

from kaon_wire.bounds import END_OF_TIME_US

# No wait is longer, unless a longest one is set.
HOUR_MS = 3_600_000


def later_us(since_us: int, wait_us: int) -> int:
    """The time `wait_us` after another, in microseconds since the epoch; at the latest the end of the year 9999, which is never."""
    return min(since_us + wait_us, END_OF_TIME_US)


def backoff_ms(first_ms: float, factor: float, waits: int, longest_ms: int) -> float:
    """The wait after `waits` shorter ones, in milliseconds: `first_ms` grown by `factor` each time, at most `longest_ms`."""
    longest = float(longest_ms or HOUR_MS)
    try:
        grown = first_ms * factor**waits
    except OverflowError:
        return longest
    return min(grown, longest)
