"""Submit strategies: what becomes of a run while other runs of its workflow have not ended. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kaon_coordinator.engine.scopes.run_permits import WORKFLOW
from kaon_coordinator.engine.state import transitions as t
from kaonapi.workflow.v1 import definition_pb2 as d

NAMES = {
    d.SUBMIT_STRATEGY_SEQUENTIAL: "sequential",
    d.SUBMIT_STRATEGY_STRICT_SEQUENTIAL: "strict-sequential",
    d.SUBMIT_STRATEGY_FIRST_ONLY: "first-only",
    d.SUBMIT_STRATEGY_LAST_ONLY: "last-only",
    d.SUBMIT_STRATEGY_SEQUENTIAL_LATEST: "sequential-latest",
}


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The strategy to which a wish of a run is subject."""

    workflow: str
    strategy: d.SubmitStrategy.ValueType
    # The run has begun before and was opened again: no strategy ends it.
    reopened: bool = False


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A run of the same workflow."""

    run_id: str
    create_us: int
    status: t.Status
    # When it began first, in microseconds since the epoch; 0 before.
    start_us: int = 0

    @property
    def place(self) -> tuple[int, str]:
        """Return its place in the order of submission."""
        return self.create_us, self.run_id

    @property
    def active(self) -> bool:
        """Tell whether it has begun and is not waiting to go on."""
        return self.start_us > 0 and self.status != t.PENDING


@dataclass(frozen=True, kw_only=True)
class Field:
    """The other runs of a workflow, as one of its runs sees them when it wants to begin."""

    # Not ended: those that have begun or hold the permit, and of all others the first and the last one.
    begun: tuple[Contender, ...] = ()
    first: Contender | None = None
    last: Contender | None = None
    # The run that holds the permit, if any; it may have begun a moment ago.
    holder: str = ""
    # The last one before it that has ended and was not cancelled.
    ended_before: Contender | None = None
    # Its nearest ancestor that is a run of the same workflow.
    ancestor: str = ""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """The run waits for another one."""

    run_id: str
    # Completes "it waits for run ...".
    why: str


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A wish that will never be granted."""

    # The error's type and text.
    kind: str
    text: str

    def __bool__(self) -> bool:
        """Return False: a refusal is no permission."""
        return False


# None: it may begin.
Standing: TypeAlias = Wait | Refusal | None
# The error types of refusals. A run that is refused for the last reason fails; by the others it is cancelled.
ALREADY_ACTIVE = "AlreadyActive"
SUPERSEDED = "Superseded"
DEADLOCK = "Deadlock"
# Runs among which a circle of waiting ones is looked for; larger ones are not found.
_FOLLOWED = 1000


def standing(me: Contender, turn: Turn, field: Field) -> Standing:
    """Return what the strategy says about a run that wants to begin."""
    if field.ancestor:
        return Refusal(
            kind=DEADLOCK,
            text=f"its ancestor {field.ancestor} is a run of the same workflow {turn.workflow}, whose strategy is "
            f"{NAMES[turn.strategy]}: they would wait for each other",
        )
    return _RULES[turn.strategy](me, turn, field)


def circle(
    blocking: str, around: Collection[str], waits_for: Callable[[str], Iterable[str]]
) -> list[str]:
    """Return the runs by which `blocking` waits for one of the runs `around`, from the one to the other; empty when it does not.

    Args:
        blocking: The run for which a run waits.
        around: That run and its ancestors, which wait for it.
        waits_for: Returns the runs without whose progress a run does not go on.
    """
    before = {blocking: ""}
    waiting = deque([blocking])
    while waiting and len(before) <= _FOLLOWED:
        run_id = waiting.popleft()
        if run_id in around:
            found = [run_id]
            while before[found[0]]:
                found.insert(0, before[found[0]])
            return found
        for other in waits_for(run_id):
            if other not in before:
                before[other] = run_id
                waiting.append(other)
    return []


def deadlock(turn: Turn, found: Sequence[str]) -> Refusal:
    """Return why a run is refused whose ancestor, the last of a circle of runs, waits with it for the first one."""
    return Refusal(
        kind=DEADLOCK,
        text=f"it waits for run {found[0]} of workflow {turn.workflow}, whose strategy is {NAMES[turn.strategy]}, and that "
        f"waits for {found[-1]}, which is around this one: they would wait for each other",
    )


def too_deep(
    key: str, bound: int, holders: Iterable[str], around: Collection[str]
) -> Refusal | None:
    """Return why a run never becomes one of its workflow's active runs: those around it are all that may be active.

    Args:
        key: The key of a permit.
        bound: How many may hold it; 0 means any number.
        holders: The runs that hold it.
        around: The ancestors of the run that wants it.
    """
    held = [each for each in holders if each in around]
    if not bound or not key.startswith(WORKFLOW) or len(held) < bound:
        return None
    workflow = key.removeprefix(WORKFLOW)
    return Refusal(
        kind=DEADLOCK,
        text=f"its ancestor {held[0]} is a run of the same workflow {workflow}, of which {bound} may be active: "
        "they would wait for each other",
    )


def to_cancel(me: Contender, turn: Turn, field: Field) -> list[str]:
    """Return the runs that give way to a run that wants to begin."""
    if turn.strategy != d.SUBMIT_STRATEGY_LAST_ONLY or field.ancestor or _later(me, field):
        return []
    return [
        other.run_id
        for other in field.begun
        if other.place < me.place and other.status != t.CANCELLING
    ]


def cancel_reason(me: Contender, turn: Turn) -> str:
    """Return why an earlier run is cancelled."""
    return _superseded(me.run_id, turn)


def _superseded(by: str, turn: Turn) -> str:
    name = NAMES[turn.strategy]
    return f"the later run {by} has taken its place: the strategy of workflow {turn.workflow} is {name}"


def _sequential(me: Contender, turn: Turn, field: Field) -> Standing:
    if active := _active(field):
        return _wait(active, "to end")
    if field.first is not None and field.first.place < me.place:
        return _wait(field.first.run_id, "to end, which was submitted before it")
    return None


def _strict(me: Contender, turn: Turn, field: Field) -> Standing:
    before = field.ended_before
    waits = _sequential(me, turn, field)
    if waits is None and before is not None and before.status != t.SUCCEEDED:
        return _wait(
            before.run_id, f"to succeed, which has ended {t.short(before.status)}: retry it"
        )
    return waits


def _first_only(me: Contender, turn: Turn, field: Field) -> Standing:
    active = _active(field)
    if active and not turn.reopened:
        text = f"run {active} is active: the strategy of workflow {turn.workflow} is first-only"
        return Refusal(kind=ALREADY_ACTIVE, text=text)
    return _sequential(me, turn, field)


def _last_only(me: Contender, turn: Turn, field: Field) -> Standing:
    later = _later(me, field)
    if later and not turn.reopened:
        return Refusal(kind=SUPERSEDED, text=_superseded(later, turn))
    if later:
        return _wait(later, "to end, which was submitted after it")
    return _sequential(me, turn, field)


def _sequential_latest(me: Contender, turn: Turn, field: Field) -> Standing:
    waits, later = _sequential(me, turn, field), _later(me, field)
    if waits is not None and later and not turn.reopened:
        return Refusal(kind=SUPERSEDED, text=_superseded(later, turn))
    return waits


def _active(field: Field) -> str:
    return field.holder or next((each.run_id for each in field.begun if each.active), "")


def _later(me: Contender, field: Field) -> str:
    return field.last.run_id if field.last is not None and field.last.place > me.place else ""


def _wait(run_id: str, why: str) -> Wait:
    return Wait(run_id=run_id, why=why)


_RULES: dict[int, Callable[[Contender, Turn, Field], Standing]] = {
    d.SUBMIT_STRATEGY_SEQUENTIAL: _sequential,
    d.SUBMIT_STRATEGY_STRICT_SEQUENTIAL: _strict,
    d.SUBMIT_STRATEGY_FIRST_ONLY: _first_only,
    d.SUBMIT_STRATEGY_LAST_ONLY: _last_only,
    d.SUBMIT_STRATEGY_SEQUENTIAL_LATEST: _sequential_latest,
}
