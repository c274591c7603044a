"""Ids of runs."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from kaon_wire.partitioning import partition_of

# Crockford's base 32: no letters that are mistaken for one another.
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26
_RANDOM_BITS = 80
# The last digits of an id, of which one pair is chosen so that it falls on a partition.
_TAILS = tuple(high + low for high in _DIGITS for low in _DIGITS)


def new_run_id(now_us: int, random_bits: Callable[[int], int] = secrets.randbits) -> str:
    """Return a new id of 26 characters: milliseconds first, so that ids sort by time, then 80 random bits."""
    number = (now_us // 1000) << _RANDOM_BITS | random_bits(_RANDOM_BITS)
    digits = [_DIGITS[number >> 5 * place & 31] for place in range(_LENGTH - 1, -1, -1)]
    return "".join(digits)


def new_run_id_in(
    partition: int,
    partitions: int,
    now_us: int,
    random_bits: Callable[[int], int] = secrets.randbits,
) -> str:
    """Return a new id, as `new_run_id` does, of a run that falls on a partition (`partition_of`).

    Its last two digits are chosen for that. With hundreds of partitions there may be no such digits; then it falls on any of them.
    """
    drawn = new_run_id(now_us, random_bits)
    head, first = drawn[:-2], random_bits(10)
    for number in range(len(_TAILS)):
        chosen = head + _TAILS[(first + number) % len(_TAILS)]
        if partition_of(chosen, partitions) == partition:
            return chosen
    return drawn
