"""The runner's own accounting of occupied amounts.

Pure and final: a step that does not fit is handed back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from kaonapi.workflow.v1 import definition_pb2


@dataclass(frozen=True, kw_only=True)
class Amount:
    """An amount of every resource that a step may occupy."""

    slots: int = 0
    cpu_milli: int = 0
    memory_bytes: int = 0
    gpu: int = 0
    # Custom resources of the deployment, by name.
    custom: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def wanted(cls, resources: definition_pb2.Resources) -> Amount:
        """Return the need of a step with these resources: one slot by default."""
        return _wanted(resources.SerializeToString(deterministic=True))

    def message(self) -> definition_pb2.Resources:
        """Convert to a protocol message."""
        return definition_pb2.Resources(
            slots=self.slots,
            cpu_milli=self.cpu_milli,
            memory_bytes=self.memory_bytes,
            gpu=self.gpu,
            custom=self.custom,
        )

    def plus(self, other: Amount) -> Amount:
        """Return the sum."""
        return Amount(
            slots=self.slots + other.slots,
            cpu_milli=self.cpu_milli + other.cpu_milli,
            memory_bytes=self.memory_bytes + other.memory_bytes,
            gpu=self.gpu + other.gpu,
            custom=_combined(self.custom, other.custom, 1),
        )

    def minus(self, other: Amount) -> Amount:
        """Return the difference; `other` must be part of this amount."""
        return Amount(
            slots=self.slots - other.slots,
            cpu_milli=self.cpu_milli - other.cpu_milli,
            memory_bytes=self.memory_bytes - other.memory_bytes,
            gpu=self.gpu - other.gpu,
            custom=_combined(self.custom, other.custom, -1),
        )

    def within(self, limit: Amount) -> bool:
        """Tell whether this is at most `limit` in every resource."""
        return (
            self.slots <= limit.slots
            and self.cpu_milli <= limit.cpu_milli
            and self.memory_bytes <= limit.memory_bytes
            and self.gpu <= limit.gpu
            and all(amount <= limit.custom.get(name, 0) for name, amount in self.custom.items())
        )

    def excess(self, limit: Amount) -> str:
        """Describe by how much this exceeds `limit`; empty when it fits."""
        names = (
            ("slots", "slots"),
            ("cpu_milli", "thousandths of a core"),
            ("memory_bytes", "bytes of memory"),
            ("gpu", "GPUs"),
        )
        asked = [(words, getattr(self, name), getattr(limit, name)) for name, words in names]
        asked += [
            (name, amount, limit.custom.get(name, 0))
            for name, amount in sorted(self.custom.items())
        ]
        return ", ".join(
            f"{amount} {words} of {most}" for words, amount, most in asked if amount > most
        )


@lru_cache(maxsize=256)
def _wanted(data: bytes) -> Amount:
    """Return the amount, cached for all steps with the same need."""
    resources = definition_pb2.Resources.FromString(data)
    return Amount(
        slots=resources.slots or 1,
        cpu_milli=resources.cpu_milli,
        memory_bytes=resources.memory_bytes,
        gpu=resources.gpu,
        custom=dict(resources.custom),
    )


def _combined(first: Mapping[str, int], second: Mapping[str, int], sign: int) -> Mapping[str, int]:
    if not second:
        return first
    totals = {
        **first,
        **{name: first.get(name, 0) + sign * amount for name, amount in second.items()},
    }
    return {name: total for name, total in totals.items() if total}


# The amounts of one running step, to be released exactly once.
Claim: TypeAlias = Amount


class Slots:
    """The occupied part of a runner's capacity."""

    def __init__(self, capacity: Amount) -> None:
        self.capacity = capacity
        self._taken = Amount()

    @property
    def taken(self) -> Amount:
        """Return the amounts that running steps occupy."""
        return self._taken

    def take(self, wanted: Amount) -> Claim | None:
        """Take `wanted`; return None when it does not fit now."""
        if self._taken.slots + wanted.slots > self.capacity.slots:
            return None  # the usual case: most steps ask for slots alone
        after = self._taken.plus(wanted)
        if not after.within(self.capacity):
            return None
        self._taken = after
        return wanted

    def give_back(self, claim: Claim) -> None:
        """Release a claim."""
        self._taken = self._taken.minus(claim)
