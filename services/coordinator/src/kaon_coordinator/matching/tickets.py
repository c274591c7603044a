"""One issue of one step, as known to its pool's matcher."""

from __future__ import annotations

import sys
from collections.abc import Container
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from kaon_coordinator.matching.amounts import Amount, wanted
from kaon_coordinator.matching.labels import LabelExpression, parse_label_expression
from kaonapi.step.v1 import step_pb2

# (run id, path): a step, regardless of its issue.
StepId: TypeAlias = tuple[str, str]


def step_id(key: step_pb2.StepKey) -> StepId:
    """Return the step of an issue."""
    return sys.intern(key.run_id), key.path


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """The properties of requests that the same runners may take. Equal lanes are the same object."""

    need: Amount
    labels: tuple[str, ...]


def expressions(labels: tuple[str, ...]) -> tuple[LabelExpression, ...]:
    """Return the parsed label expressions of a lane.

    Raises:
        InvalidValue: An expression is malformed.
    """
    return tuple(parse_label_expression(text) for text in labels)


class Place(Enum):
    """The places of a ticket."""

    # In the waiting room.
    WAITING = "waiting"
    # Parked until a time, before the waiting room.
    PARKED = "parked"
    # At a runner.
    RELEASED = "released"
    # Superseded, ended or forgotten; it may still lie in a queue, which drops it when it comes up.
    GONE = "gone"


@dataclass(eq=False, slots=True, kw_only=True)
class Ticket:
    """One issue of a step, from its request to its end."""

    step: StepId
    attempt: int
    generation: int
    # The serialized request, compressed while it waits; None for a step that is only known to be held.
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
    # The incarnation to which it was released.
    incarnation: str = ""
    # When it was released, and the runner's outstanding slots per slot at that time; below 1 it could start
    # at once.
    sent: float = 0.0
    load: float = 0.0
    # When the release had been sent for certain; None until then.
    released: float | None = None
    # The runner has reported it as running.
    started: bool = False
    # The runner has reported it as queued, long enough after the release.
    queued: bool = False
    # Consecutive heartbeats that should have named it and did not.
    missed: int = 0
    # When it was withdrawn.
    withdrawn: float | None = None
    losses: int = 0
    # A runner that handed it back, and until when that runner is avoided.
    avoid: str = ""
    avoid_until: float = 0.0
    # The steps that may follow it: a serialized StepRequest that has them in `successors`, and nothing else; a ChainExtension if
    # the step is only known to be held. Then the first of them that its runner may start by itself, in the same way.
    followers: bytes = b""
    allowed: bytes = b""
    # The lanes of the steps that may follow, in order; empty when all of them are in the lane of this one.
    follower_lanes: tuple[Lane, ...] = ()
    # Whether the chain book counts it among those after which the runner may start others.
    leads: bool = False
    # When its runner was told to start nothing after it.
    chain_ended: float | None = None

    @property
    def key(self) -> step_pb2.StepKey:
        """Return the issue as a protocol message."""
        run_id, path = self.step
        return step_pb2.StepKey(
            run_id=run_id, path=path, attempt=self.attempt, generation=self.generation
        )


class Lanes:
    """Interned lanes: equal ones are the same object and hash fast."""

    def __init__(self) -> None:
        self._known: dict[tuple[Amount, tuple[str, ...]], Lane] = {}
        # The same by the serialized resources: reading them costs more than all else here.
        self._asked: dict[tuple[bytes, tuple[str, ...]], Lane] = {}

    def __len__(self) -> int:
        return len(self._known)

    def of(self, request: step_pb2.StepRequest) -> Lane:
        """Return the lane of a request."""
        asked = (request.resources.SerializeToString(deterministic=True), tuple(request.labels))
        lane = self._asked.get(asked)
        if lane is None:
            lane = self._asked[asked] = self.get(wanted(request.resources), asked[1])
        return lane

    def get(self, need: Amount, labels: tuple[str, ...]) -> Lane:
        """Return the lane with these properties."""
        key = (need, labels)
        lane = self._known.get(key)
        if lane is None:
            lane = self._known[key] = Lane(need, labels)
        return lane

    def keep(self, used: Container[Lane]) -> None:
        """Forget all lanes except the used ones."""
        self._known = {key: lane for key, lane in self._known.items() if lane in used}
        self._asked = {key: lane for key, lane in self._asked.items() if lane in used}
