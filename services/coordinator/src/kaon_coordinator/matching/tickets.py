"""One issue of one step, as its pool's matcher knows it."""

from __future__ import annotations

import sys
from collections.abc import Container
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from kaon_coordinator.matching.amounts import Amount, wanted
from kaon_coordinator.matching.labels import LabelExpression, parse_label_expression
from kaonapi.step.v1 import step_pb2

# (run id, path): a step, whatever its issue.
StepId: TypeAlias = tuple[str, str]


def step_id(key: step_pb2.StepKey) -> StepId:
    """The step that `key` is an issue of."""
    return sys.intern(key.run_id), key.path


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """What requests have in common that the same runners may take. Equal ones are the same object."""

    need: Amount
    labels: tuple[str, ...]


def expressions(labels: tuple[str, ...]) -> tuple[LabelExpression, ...]:
    """The parsed label expressions of a lane.

    Raises:
        InvalidValue: one of them cannot be understood.
    """
    return tuple(parse_label_expression(text) for text in labels)


class Place(Enum):
    """Where a ticket is."""

    # In the waiting room.
    WAITING = "waiting"
    # Waits for a time before it may go to the waiting room.
    PARKED = "parked"
    # At a runner.
    RELEASED = "released"
    # Superseded, ended or forgotten; it may still lie in a queue, from which it is dropped when it comes up.
    GONE = "gone"


@dataclass(eq=False, slots=True, kw_only=True)
class Ticket:
    """One issue of a step, from its request to its end."""

    step: StepId
    attempt: int
    generation: int
    # The serialized request, as small as it gets while it waits; None for a step that is only known to be held.
    request: bytes | None
    tenant: str
    priority: int
    lane: Lane
    # Digest of its code bundle; empty when it has none.
    bundle: str
    # Engine partition; -1 when unknown.
    partition: int
    # Order of arrival: FIFO.
    sequence: int
    since: float
    place: Place = Place.WAITING
    # Where it was released to.
    incarnation: str = ""
    # When it was released, and what was asked of the runner then, for each of its slots; below 1 it could start at once.
    sent: float = 0.0
    load: float = 0.0
    # When the release had certainly left; None until then.
    released: float | None = None
    # The runner has said that it runs.
    started: bool = False
    # The runner has said that it is queued, long enough after the release.
    queued: bool = False
    # Heartbeats in a row that should have named it and did not.
    missed: int = 0
    # When the runner was asked to give it back.
    withdrawn: float | None = None
    losses: int = 0
    # A runner that had it and gave it back, and until when it is not tried again.
    avoid: str = ""
    avoid_until: float = 0.0

    @property
    def key(self) -> step_pb2.StepKey:
        run_id, path = self.step
        return step_pb2.StepKey(run_id=run_id, path=path, attempt=self.attempt, generation=self.generation)


class Lanes:
    """Lanes by what distinguishes them, so that equal ones are the same object and hash fast."""

    def __init__(self) -> None:
        self._known: dict[tuple[Amount, tuple[str, ...]], Lane] = {}

    def __len__(self) -> int:
        return len(self._known)

    def of(self, request: step_pb2.StepRequest) -> Lane:
        """The lane of a request."""
        return self.get(wanted(request.resources), tuple(request.labels))

    def get(self, need: Amount, labels: tuple[str, ...]) -> Lane:
        """The lane with these properties."""
        key = (need, labels)
        lane = self._known.get(key)
        if lane is None:
            lane = self._known[key] = Lane(need, labels)
        return lane

    def keep(self, used: Container[Lane]) -> None:
        """Forgets all lanes but the used ones."""
        self._known = {key: lane for key, lane in self._known.items() if lane in used}
