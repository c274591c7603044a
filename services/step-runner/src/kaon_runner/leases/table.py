"""The leases that this runner holds or has queued. Pure: no clock, no I/O.

A release is a hint that may come twice, late, or after its revoke. The generation identifies the latest issue
of a step, the epoch the latest owner of an engine partition. Both only rise, so anything older is refused
here.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from kaon_runner.leases.chain import Chain
from kaon_runner.leases.slots import Amount
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

# (run id, path): a step, regardless of its attempt.
StepId: TypeAlias = tuple[str, str]


class Phase(Enum):
    """The phases of a lease at this runner."""

    QUEUED = "queued"
    # Taken by succession, and the broker has not acknowledged that yet: it is in no renewal.
    FOLLOWING = "following"
    HELD = "held"


class Verdict(Enum):
    """The treatment of a release."""

    ACCEPTED = "accepted"
    # Known already, or older than a known one: ignore it.
    DUPLICATE = "duplicate"
    # It has ended here. Only an owner that has not read the end releases it again: hand it back, for a new
    # generation.
    OVER = "over"
    # Issued by a succeeded owner of the engine partition: hand it back.
    STALE_EPOCH = "stale-epoch"


@dataclass(kw_only=True)
class Lease:
    """One accepted release that has not ended."""

    request: step_pb2.StepRequest
    phase: Phase = Phase.QUEUED
    # Signals to the step so far, by number: none is delivered twice.
    signals: dict[int, runner_pb2.SignalStep] = field(default_factory=dict)
    # The chain to which it belongs; None when nothing may follow it.
    chain: Chain | None = None
    # The report that it serves others, once it does: repeated with each renewal.
    serves: step_pb2.StepEvent | None = None
    # Parsed from the request once.
    key: step_pb2.StepKey = field(init=False)
    step: StepId = field(init=False)
    # The engine partition that receives its reports.
    partition: int = field(init=False)
    # What it occupies.
    wanted: Amount = field(init=False)
    # When its start was reported, microseconds since the epoch; 0 before.
    started_us: int = 0

    def __post_init__(self) -> None:
        self.key = self.request.key
        self.step = step_id(self.key)
        self.partition = self.request.partition
        self.wanted = Amount.wanted(self.request.resources)

    @property
    def by_succession(self) -> bool:
        """Tell whether this runner has begun it by itself."""
        return bool(self.key.succession)

    @property
    def fields(self) -> dict[str, Any]:
        """Return the fields that identify it in logs."""
        return fields_of(self.key)


def fields_of(key: step_pb2.StepKey) -> dict[str, Any]:
    """Return the fields that identify a lease in logs."""
    return {
        "run": key.run_id,
        "step": key.path,
        "attempt": key.attempt,
        "generation": key.generation,
    }


def step_id(key: step_pb2.StepKey) -> StepId:
    """Return the step of an issue."""
    return key.run_id, key.path


class LeaseTable:
    """The leases of one incarnation.

    Args:
        remembered: The number of remembered ended leases, to recognise late duplicates of their releases.
    """

    def __init__(self, *, remembered: int = 20_000) -> None:
        self._leases: dict[StepId, Lease] = {}
        self._ended: OrderedDict[StepId, int] = OrderedDict()
        self._epochs: dict[int, int] = {}
        self._remembered = remembered

    def __len__(self) -> int:
        return len(self._leases)

    def offer(self, request: step_pb2.StepRequest) -> tuple[Verdict, Lease | None]:
        """Handle a release.

        Returns:
            The verdict; if accepted, also the older lease of the same step that it supersedes, already removed here: its
            execution must be stopped and must report nothing.
        """
        step = step_id(request.key)
        current = self._leases.get(step)
        fresh = self.note_epoch(request.partition, request.epoch)
        if not fresh:
            # A new matcher with an old request releases it to the step's holder, which must not hand it back.
            here = current is not None and request.key.generation <= current.key.generation
            return Verdict.DUPLICATE if here else Verdict.STALE_EPOCH, None
        newest = current.key.generation if current else self._ended.get(step, 0)
        if request.key.generation <= newest:
            over = current is None and request.key.generation == newest
            return Verdict.OVER if over else Verdict.DUPLICATE, None
        self._ended.pop(step, None)
        chain = Chain(request) if request.successors else None
        self._leases[step] = Lease(request=request, chain=chain)
        return Verdict.ACCEPTED, current

    def follow(self, request: step_pb2.StepRequest, chain: Chain) -> Lease | None:
        """Take a lease by succession; return None when the step, or its end under this generation, is here already."""
        step = step_id(request.key)
        if step in self._leases or self._ended.get(step, 0) >= request.key.generation:
            return None
        self._ended.pop(step, None)
        lease = Lease(request=request, phase=Phase.FOLLOWING, chain=chain)
        self._leases[step] = lease
        return lease

    def extend(self, extension: step_pb2.ChainExtension) -> None:
        """Let the chain of which a lease is here go on with further steps."""
        for lease in self._leases.values():
            if lease.chain is not None and lease.chain.extend(extension):
                return

    def forget(self, lease: Lease) -> None:
        """Give up a lease that was taken by succession and that nobody has heard of."""
        del self._leases[lease.step]

    def note_epoch(self, partition: int, epoch: int) -> bool:
        """Record the epoch of an engine partition; return False when `epoch` is lower than an earlier one."""
        highest = self._epochs.get(partition, 0)
        if epoch < highest:
            return False
        self._epochs[partition] = epoch
        return True

    def find(self, key: step_pb2.StepKey) -> Lease | None:
        """Return the lease with exactly this attempt and generation; None when it is not (or no longer) here."""
        lease = self._leases.get(step_id(key))
        matches = lease is not None and (lease.key.attempt, lease.key.generation) == (
            key.attempt,
            key.generation,
        )
        return lease if matches else None

    def holds(self, lease: Lease) -> bool:
        """Tell whether the lease is still here and was not replaced."""
        return self._leases.get(lease.step) is lease

    def hold(self, lease: Lease) -> None:
        """Mark the lease's step as about to execute."""
        lease.phase = Phase.HELD

    def end(self, key: step_pb2.StepKey) -> None:
        """Remove the lease and record this and all earlier generations as ended; also for an unknown lease."""
        lease = self.find(key)
        if lease is not None:
            del self._leases[lease.step]
        self._note_end(step_id(key), key.generation)

    def finish(self, lease: Lease) -> None:
        """End a lease that was taken here; like `end`."""
        if self.holds(lease):
            del self._leases[lease.step]
        self._note_end(lease.step, lease.key.generation)

    def _note_end(self, step: StepId, generation: int) -> None:
        if step in self._leases:
            return
        self._ended[step] = max(generation, self._ended.pop(step, 0))
        while len(self._ended) > self._remembered:
            self._ended.popitem(last=False)

    def keys(self, *phases: Phase) -> list[step_pb2.StepKey]:
        """Return the keys of all leases in one of the phases."""
        return [lease.key for lease in self._leases.values() if lease.phase in phases]

    def leases(self) -> Iterable[Lease]:
        """Return all leases, in order of release."""
        return tuple(self._leases.values())

    def renewals(self) -> dict[int, step_pb2.LeaseRenewal]:
        """Return one renewal per engine partition with leases here, naming all whose start is known or to come."""
        renewals: dict[int, step_pb2.LeaseRenewal] = defaultdict(step_pb2.LeaseRenewal)
        for lease in self._leases.values():
            if lease.phase is Phase.FOLLOWING:
                continue
            renewal = renewals[lease.partition]
            (renewal.held if lease.phase is Phase.HELD else renewal.queued).append(lease.key)
        return dict(renewals)
