"""One issue of one step, as its pool's matcher knows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from kaon_coordinator.matching.amounts import Amount, wanted
from kaon_coordinator.matching.labels import LabelExpression, parse_label_expression
from kaon_wire.errors import InvalidValue
from kaonapi.step.v1 import step_pb2

# (run id, path): a step, whatever its issue.
StepId: TypeAlias = tuple[str, str]


def step_id(key: step_pb2.StepKey) -> StepId:
    """The step that `key` is an issue of."""
    return key.run_id, key.path


@dataclass(frozen=True, slots=True)
class Lane:
    """What requests have in common that the same runners may take, and would rather take."""

    need: Amount
    labels: tuple[str, ...]
    bundle: str


class LaneBook:
    """Parses each set of label expressions once."""

    def __init__(self) -> None:
        self._parsed: dict[tuple[str, ...], tuple[LabelExpression, ...]] = {}
        self._wrong: dict[tuple[str, ...], str] = {}

    def expressions(self, lane: Lane) -> tuple[LabelExpression, ...] | None:
        """The parsed labels of a lane; None when one of them cannot be understood."""
        if lane.labels not in self._parsed and lane.labels not in self._wrong:
            try:
                self._parsed[lane.labels] = tuple(parse_label_expression(text) for text in lane.labels)
            except InvalidValue as error:
                self._wrong[lane.labels] = str(error)
        return self._parsed.get(lane.labels)

    def mistake(self, lane: Lane) -> str:
        """Why the labels of a lane cannot be understood."""
        return self._wrong[lane.labels]


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
    # None for a step that is only known to be held.
    request: step_pb2.StepRequest | None
    tenant: str
    priority: int
    lane: Lane
    # Engine partition; -1 when unknown.
    partition: int
    # Order of arrival: FIFO.
    sequence: int
    since: float
    place: Place = Place.WAITING
    # Where it was released to.
    incarnation: str = ""
    # When it was released, and what was asked of the runner then, for each of its slots.
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


@dataclass(slots=True)
class Lanes:
    """Lanes by what distinguishes them, so that equal ones are the same object and hash fast."""

    known: dict[tuple[Amount, tuple[str, ...], str], Lane] = field(default_factory=dict)

    def of(self, request: step_pb2.StepRequest) -> Lane:
        """The lane of a request."""
        return self.get(wanted(request.resources), tuple(request.labels), request.spec.code_bundle)

    def get(self, need: Amount, labels: tuple[str, ...], bundle: str) -> Lane:
        """The lane with these properties."""
        key = (need, labels, bundle)
        lane = self.known.get(key)
        if lane is None:
            lane = self.known[key] = Lane(need, labels, bundle)
        return lane
