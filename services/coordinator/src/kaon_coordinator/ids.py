"""Ids of runs."""

from __future__ import annotations

import secrets
from collections.abc import Callable

# Crockford's base 32: no letters that are mistaken for one another.
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26
_RANDOM_BITS = 80


def new_run_id(now_us: int, random_bits: Callable[[int], int] = secrets.randbits) -> str:
    """Return a new id of 26 characters: milliseconds first, so that ids sort by time, then 80 random bits."""
    number = (now_us // 1000) << _RANDOM_BITS | random_bits(_RANDOM_BITS)
    digits = [_DIGITS[number >> 5 * place & 31] for place in range(_LENGTH - 1, -1, -1)]
    return "".join(digits)
