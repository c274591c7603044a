"""Exponential backoff between the attempts of a step and between the iterations of a repeat."""

from __future__ import annotations

from kaon_wire.bounds import END_OF_TIME_US

# The longest wait when the policy sets no maximum.
HOUR_MS = 3_600_000


def later_us(since_us: int, wait_us: int) -> int:
    """Return the time `wait_us` microseconds after another time, capped at the end of the year 9999, which means never."""
    return min(since_us + wait_us, END_OF_TIME_US)


def backoff_ms(first_ms: float, factor: float, waits: int, longest_ms: int) -> float:
    """Return the next wait in milliseconds.

    It is `first_ms` times `factor` to the power of `waits`, at most `longest_ms`.
    """
    longest = float(longest_ms or HOUR_MS)
    try:
        grown = first_ms * factor**waits
    except OverflowError:
        return longest
    return min(grown, longest)
