"""The runner's own accounting of what steps occupy. Pure, and final: what does not fit is handed back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from kaonapi.workflow.v1 import definition_pb2


@dataclass(frozen=True, kw_only=True)
class Amount:
    """An amount of everything that a step may occupy."""

    slots: int = 0
    cpu_milli: int = 0
    memory_bytes: int = 0
    gpu: int = 0
    # What a deployment defines and counts, by name.
    custom: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def wanted(cls, resources: definition_pb2.Resources) -> Amount:
        """What a step with these resources occupies; a step takes one slot unless it says otherwise."""
        return _wanted(resources.SerializeToString(deterministic=True))

    def message(self) -> definition_pb2.Resources:
        """As a protocol message."""
        return definition_pb2.Resources(
            slots=self.slots,
            cpu_milli=self.cpu_milli,
            memory_bytes=self.memory_bytes,
            gpu=self.gpu,
            custom=self.custom,
        )

    def plus(self, other: Amount) -> Amount:
        """The sum."""
        return Amount(
            slots=self.slots + other.slots,
            cpu_milli=self.cpu_milli + other.cpu_milli,
            memory_bytes=self.memory_bytes + other.memory_bytes,
            gpu=self.gpu + other.gpu,
            custom=_combined(self.custom, other.custom, 1),
        )

    def minus(self, other: Amount) -> Amount:
        """The difference; the caller knows that `other` is part of this."""
        return Amount(
            slots=self.slots - other.slots,
            cpu_milli=self.cpu_milli - other.cpu_milli,
            memory_bytes=self.memory_bytes - other.memory_bytes,
            gpu=self.gpu - other.gpu,
            custom=_combined(self.custom, other.custom, -1),
        )

    def within(self, limit: Amount) -> bool:
        """Whether this is at most `limit` in every respect."""
        return (
            self.slots <= limit.slots
            and self.cpu_milli <= limit.cpu_milli
            and self.memory_bytes <= limit.memory_bytes
            and self.gpu <= limit.gpu
            and all(amount <= limit.custom.get(name, 0) for name, amount in self.custom.items())
        )

    def excess(self, limit: Amount) -> str:
        """In words, what this asks for beyond `limit`; empty when it fits."""
        names = (
            ("slots", "slots"),
            ("cpu_milli", "thousandths of a core"),
            ("memory_bytes", "bytes of memory"),
            ("gpu", "GPUs"),
        )
        asked = [(words, getattr(self, name), getattr(limit, name)) for name, words in names]
        asked += [(name, amount, limit.custom.get(name, 0)) for name, amount in sorted(self.custom.items())]
        return ", ".join(f"{amount} {words} of {most}" for words, amount, most in asked if amount > most)


@lru_cache(maxsize=256)
def _wanted(data: bytes) -> Amount:
    """Made once for all steps that ask for the same."""
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
    totals = {**first, **{name: first.get(name, 0) + sign * amount for name, amount in second.items()}}
    return {name: total for name, total in totals.items() if total}


# What one running step took, to be given back exactly once.
Claim: TypeAlias = Amount


class Slots:
    """What is taken of a runner's capacity."""

    def __init__(self, capacity: Amount) -> None:
        self.capacity = capacity
        self._taken = Amount()

    @property
    def taken(self) -> Amount:
        """What running steps occupy."""
        return self._taken

    def take(self, wanted: Amount) -> Claim | None:
        """Takes `wanted`; None when it does not fit now."""
        after = self._taken.plus(wanted)
        if not after.within(self.capacity):
            return None
        self._taken = after
        return wanted

    def give_back(self, claim: Claim) -> None:
        """Ends a claim."""
        self._taken = self._taken.minus(claim)
