"""Amounts of what steps occupy: (slots, thousandths of a core, bytes of memory, GPUs). Plain tuples, for speed."""

from __future__ import annotations

from typing import TypeAlias

from kaonapi.workflow.v1 import definition_pb2

Amount: TypeAlias = tuple[int, int, int, int]

NOTHING: Amount = (0, 0, 0, 0)
ONE_SLOT: Amount = (1, 0, 0, 0)
NAMES = ("slots", "thousandths of a core", "bytes of memory", "GPUs")


def offered(resources: definition_pb2.Resources) -> Amount:
    """What a runner has."""
    return resources.slots, resources.cpu_milli, resources.memory_bytes, resources.gpu


def wanted(resources: definition_pb2.Resources) -> Amount:
    """What a step occupies: one slot unless it says otherwise."""
    return resources.slots or 1, resources.cpu_milli, resources.memory_bytes, resources.gpu


def plus(a: Amount, b: Amount) -> Amount:
    """The sum."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


def minus(a: Amount, b: Amount) -> Amount:
    """The difference."""
    return a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]


def scaled(a: Amount, factor: float) -> Amount:
    """`a` times `factor`, rounded down."""
    return int(a[0] * factor), int(a[1] * factor), int(a[2] * factor), int(a[3] * factor)


def fits(a: Amount, limit: Amount) -> bool:
    """Whether `a` is at most `limit` in every respect."""
    return a[0] <= limit[0] and a[1] <= limit[1] and a[2] <= limit[2] and a[3] <= limit[3]


def fits_beside(a: Amount, used: Amount, limit: Amount) -> bool:
    """Whether `a` fits into what `used` leaves of `limit`."""
    return (
        a[0] + used[0] <= limit[0]
        and (not a[1] or a[1] + used[1] <= limit[1])
        and (not a[2] or a[2] + used[2] <= limit[2])
        and (not a[3] or a[3] + used[3] <= limit[3])
    )


def in_words(a: Amount) -> str:
    """For people: "4 slots, 2 GPUs"."""
    return ", ".join(f"{value} {name}" for value, name in zip(a, NAMES, strict=True) if value) or "nothing"
