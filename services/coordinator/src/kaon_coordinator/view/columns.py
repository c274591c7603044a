"""Packed columns: arrays of little-endian numbers, which a browser reads as they are."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Collection, Iterable, Sequence

_LARGEST_U8, _LARGEST_U16, _LARGEST_U32 = 2**8 - 1, 2**16 - 1, 2**32 - 1
_LARGEST_F32 = 3.4e38
# Type codes of `array` for numbers of four bytes, whatever the machine.
_U32 = "I" if array("I").itemsize == 4 else "L"


def u8(values: Iterable[int]) -> bytes:
    """Numbers of a byte; what is larger counts as 255."""
    known = list(values)
    try:
        return bytes(known)
    except ValueError:
        return bytes([min(value, _LARGEST_U8) for value in known])


def u16(values: Iterable[int]) -> bytes:
    """Numbers of two bytes; what is larger counts as 65535."""
    return _little(array("H", [min(value, _LARGEST_U16) for value in values]))


def u32(values: Iterable[int]) -> bytes:
    """Numbers of four bytes; what is larger counts as the largest one."""
    known = list(values)
    try:
        packed = array(_U32, known)
    except OverflowError:
        packed = array(_U32, [min(value, _LARGEST_U32) for value in known])
    return _little(packed)


def f32(values: Iterable[float]) -> bytes:
    """Floating-point numbers of four bytes."""
    return _little(array("f", [_fitting(value) for value in values]))


class Clock:
    """Times as numbers of four bytes: 0 is no time, 1 the base, and each further one a unit later.

    Args:
        times: microseconds since the epoch, 0 for none: all that will be packed.
    """

    def __init__(self, times: Collection[int]) -> None:
        known = [each for each in times if each]
        self.base_us = min(known, default=0)
        span = max(known, default=0) - self.base_us
        # A millisecond is fine enough for 49 days.
        self.unit_us = 1_000
        while span // self.unit_us >= _LARGEST_U32 - 1:
            self.unit_us *= 10

    def pack(self, times: Iterable[int]) -> bytes:
        """Return a column of times."""
        base, unit = self.base_us, self.unit_us
        return u32([(each - base) // unit + 1 if each else 0 for each in times])


def from_u32(data: bytes) -> Sequence[int]:
    """Return what `u32` has packed."""
    values = array(_U32)
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _fitting(value: float) -> float:
    if not math.isfinite(value) or abs(value) < _LARGEST_F32:
        return value
    return float("inf") if value > 0 else float("-inf")


def _little(values: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()
