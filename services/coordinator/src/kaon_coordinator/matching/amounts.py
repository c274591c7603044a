"""Amounts of resources: (slots, thousandths of a core, bytes of memory, GPUs, custom), as plain tuples for speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from kaon_wire.texts import counted
from kaonapi.workflow.v1 import definition_pb2

# Countable resources that a deployment defines: (name, count), sorted by name, without zeros.
Custom: TypeAlias = tuple[tuple[str, int], ...]
Amount: TypeAlias = tuple[int, int, int, int, Custom]

NOTHING: Amount = (0, 0, 0, 0, ())
ONE_SLOT: Amount = (1, 0, 0, 0, ())
_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1
_GIB = 1 << 30
_MIB = 1 << 20


def offered(resources: definition_pb2.Resources) -> Amount:
    """Return the capacity of a runner."""
    return (
        resources.slots,
        resources.cpu_milli,
        resources.memory_bytes,
        resources.gpu,
        _custom(resources),
    )


def wanted(resources: definition_pb2.Resources) -> Amount:
    """Return the need of a step: one slot by default.

    Negative amounts count as 0 and make no room for others.
    """
    return (
        max(resources.slots, 0) or 1,
        max(resources.cpu_milli, 0),
        max(resources.memory_bytes, 0),
        max(resources.gpu, 0),
        tuple(each for each in _custom(resources) if each[1] > 0),
    )


def message(a: Amount) -> definition_pb2.Resources:
    """Convert to a protocol message; a sum beyond the range of its field is capped."""
    return definition_pb2.Resources(
        slots=_within(a[0], _INT32_MAX),
        cpu_milli=_within(a[1], _INT64_MAX),
        memory_bytes=_within(a[2], _INT64_MAX),
        gpu=_within(a[3], _INT32_MAX),
        custom={name: _within(value, _INT64_MAX) for name, value in a[4]},
    )


def _within(value: int, most: int) -> int:
    return max(-most, min(value, most))


def plus(a: Amount, b: Amount) -> Amount:
    """Return `a + b`."""
    custom = _merged(a[4], b[4], int.__add__) if b[4] else a[4]
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], custom


def minus(a: Amount, b: Amount) -> Amount:
    """Return `a - b`."""
    custom = _merged(a[4], b[4], int.__sub__) if b[4] else a[4]
    return a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3], custom


def largest(a: Amount, b: Amount) -> Amount:
    """Return the maximum per resource."""
    custom = _merged(a[4], b[4], max) if b[4] else a[4]
    return max(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]), custom


def times(a: Amount, count: int) -> Amount:
    """Return `count` times `a`."""
    custom = tuple((name, value * count) for name, value in a[4]) if count else ()
    return a[0] * count, a[1] * count, a[2] * count, a[3] * count, custom


def scaled(a: Amount, factor: float) -> Amount:
    """Return `a` times `factor`, rounded down."""
    custom = tuple((name, int(value * factor)) for name, value in a[4]) if a[4] else ()
    return int(a[0] * factor), int(a[1] * factor), int(a[2] * factor), int(a[3] * factor), custom


def fits(a: Amount, limit: Amount) -> bool:
    """Tell whether `a` is at most `limit` in every resource."""
    return fits_beside(a, NOTHING, limit)


def fits_beside(a: Amount, used: Amount, limit: Amount) -> bool:
    """Tell whether `a` fits into `limit` beside `used`; resources that `a` does not need are ignored."""
    return (
        a[0] + used[0] <= limit[0]
        and (not a[1] or a[1] + used[1] <= limit[1])
        and (not a[2] or a[2] + used[2] <= limit[2])
        and (not a[3] or a[3] + used[3] <= limit[3])
        and (not a[4] or _custom_fits(a[4], used[4], limit[4]))
    )


def within_quota(a: Amount, used: Amount, quota: Amount) -> bool:
    """Tell whether `a` fits into a quota beside `used`; 0 in the quota means no limit."""
    if any(
        most and part and part + held > most
        for part, held, most in zip(a[:4], used[:4], quota[:4], strict=True)
    ):
        return False
    if not quota[4]:
        return True
    held_custom, most_custom = dict(used[4]), dict(quota[4])
    return all(
        name not in most_custom or part + held_custom.get(name, 0) <= most_custom[name]
        for name, part in a[4]
    )


def dominant(held: Amount, total: Amount) -> float:
    """Return the dominant share: the largest fraction that `held` is of any resource in `total`."""
    share = held[0] / total[0] if total[0] else 0.0
    if held[1] and total[1]:
        share = max(share, held[1] / total[1])
    if held[2] and total[2]:
        share = max(share, held[2] / total[2])
    if held[3] and total[3]:
        share = max(share, held[3] / total[3])
    if held[4]:
        whole = dict(total[4])
        share = max(
            share, *(value / whole[name] for name, value in held[4] if whole.get(name)), 0.0
        )
    return share


def in_words(a: Amount) -> str:
    """Format for people: "4 slots, 1.5 cores, 2 GiB of memory, 2 GPUs, 1 licence"."""
    parts = []
    if a[0]:
        parts.append(counted(a[0], "slot"))
    if a[1]:
        parts.append(f"{a[1] / 1000:g} core{'s' if a[1] != 1000 else ''}")
    if a[2]:
        parts.append(f"{_size(a[2])} of memory")
    if a[3]:
        parts.append(counted(a[3], "GPU"))
    parts += [f"{value} {name}" for name, value in a[4] if value]
    return ", ".join(parts) or "nothing"


def _size(count: int) -> str:
    if count >= _GIB:
        return f"{count / _GIB:.3g} GiB"
    return f"{count / _MIB:.3g} MiB" if count >= _MIB else f"{count} bytes"


def _custom(resources: definition_pb2.Resources) -> Custom:
    if not resources.custom:
        return ()
    return tuple(sorted((name, value) for name, value in resources.custom.items() if value))


def _merged(a: Custom, b: Custom, combine: Callable[[int, int], int]) -> Custom:
    left, right = dict(a), dict(b)
    merged = {name: combine(left.get(name, 0), right.get(name, 0)) for name in {*left, *right}}
    return tuple(sorted((name, value) for name, value in merged.items() if value))


def _custom_fits(a: Custom, used: Custom, limit: Custom) -> bool:
    held, most = dict(used), dict(limit)
    return all(value + held.get(name, 0) <= most.get(name, 0) for name, value in a)
