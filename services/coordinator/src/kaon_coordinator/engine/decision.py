"""A decision while it is made: events for the history and actions for the shell.

One `Decision` handles one message. Each event is folded into the state as soon as it is decided, so later parts of the same
decision see it. Consequences wait in an agenda instead of on the call stack: a chain of any length costs no depth.

Scopes start, stop and end what is in them without knowing the kinds of nodes: a decision carries the table of the kinds, which
`decide` gives to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from kaon_coordinator.engine.actions import Action, Continue
from kaon_coordinator.engine.definition.limits import DEFAULT, Limits
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import Evaluate
from kaon_coordinator.engine.state.evolve import evolve
from kaon_coordinator.engine.state.state import BlockState, Node, RunState, ScopeState, StepState
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2

# The type of the errors that are nobody's: something was raised that nobody has foreseen.
ENGINE_FAULT = "EngineFault"


def _middle() -> float:
    return 0.5


class Meter(Protocol):
    """What the expressions of a turn may cost."""

    @property
    def spent(self) -> bool:
        """Whether the turn has evaluated enough: what needs more is left to a later one."""

    def begin_node(self) -> None:
        """The expressions of another node follow."""


class MeteredEvaluate(Meter, Protocol):
    """Evaluates expressions, and counts what they cost."""

    def __call__(self, expression: str, variables: Mapping[str, Any], /) -> Any:
        """The value of an expression over named values; raises KaonError with the expression and the reason."""


class Unmetered:
    """Expressions cost nothing."""

    spent = False

    def begin_node(self) -> None:
        """Nothing is counted."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """All that a decision may know besides the state and the message."""

    # Microseconds since the epoch.
    now_us: int
    evaluate: Evaluate
    limits: Limits = DEFAULT
    meter: Meter = field(default_factory=Unmetered)
    # From 0 to 1, for jitter; what was drawn is in the events.
    random: Callable[[], float] = _middle


@dataclass(frozen=True, kw_only=True)
class StepKind:
    """What scopes ask of steps."""

    # Starts a pending step.
    start: Callable[[Decision, StepState], None]
    # Stops an active step; one that nobody holds ends at once with the status.
    stop: Callable[[Decision, StepState, t.Status], None]
    # Ends a step and tells its scope.
    end: Callable[[Decision, StepState, t.Status, step_pb2.StepError | None], None]


def _no_cells(decision: Decision, block: BlockState, cell: ScopeState) -> NoReturn:
    raise AssertionError(f"{cell.path} has ended, but a block of the kind {block.kind} has no cells")


def _nothing(decision: Decision, block: BlockState) -> None:
    """Changes nothing: the block waits for messages only, and has nothing outside of the run."""


@dataclass(frozen=True, kw_only=True)
class BlockKind:
    """What scopes ask of the blocks of one kind."""

    # Starts a pending block, or asks for what it needs from outside first; raises KaonError when an expression cannot be evaluated.
    start: Callable[[Decision, BlockState], None]
    # Stops an active block; the status is how one ends of which nothing has to be waited for.
    stop: Callable[[Decision, BlockState, t.Status], None]
    # Follows the end of a cell of a block that was not stopped.
    cell_ended: Callable[[Decision, BlockState, ScopeState], None] = _no_cells
    # Lets a running block go on that was paused, reopened, taken over or forked. Doing it twice changes nothing.
    advance: Callable[[Decision, BlockState], None] = _nothing
    # Asks anew for what an active block waits for, since the run's last owner may not have done so. Gives actions, but no events.
    derive: Callable[[Decision, BlockState], None] = _nothing
    # Stops what an active block has outside of the run, which ends by a fault. Gives actions, but no events.
    abandon: Callable[[Decision, BlockState], None] = _nothing

    @property
    def has_cells(self) -> bool:
        """Whether the blocks hold scopes; in a fork they go on with these, and what has none begins anew."""
        return self.cell_ended is not _no_cells


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """The table of the kinds of nodes."""

    step: StepKind
    # By `BlockState.kind`.
    blocks: Mapping[str, BlockKind]


def _no_kind(decision: Decision, node: Node, *_: object) -> NoReturn:
    raise AssertionError(f"{node.path} starts or ends in a decision without the table of kinds")


# For decisions in which no node starts, stops or ends.
NO_KINDS = Kinds(step=StepKind(start=_no_kind, stop=_no_kind, end=_no_kind), blocks={})


@dataclass(kw_only=True)
class Decision:
    """The outcome of one message, while it is being made."""

    state: RunState
    context: Context
    kinds: Kinds = NO_KINDS
    events: list[history_pb2.HistoryEvent] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    agenda: deque[Callable[[], None]] = field(default_factory=deque)
    # Reports under a lease that is not, or no longer, the step's.
    stale: int = 0

    def emit(self, **event: Any) -> None:
        """Appends the event (the name of its field and its message) to the history and folds it into the state."""
        record = history_pb2.HistoryEvent(
            run_id=self.state.run_id, seq=self.state.seq + 1, time_us=self.context.now_us, **event
        )
        evolve(self.state, record)
        self.events.append(record)

    def act(self, action: Action) -> None:
        """Asks the shell for something, once the events are durable."""
        self.actions.append(action)

    def defers(self, path: str) -> bool:
        """Whether what is to be evaluated for the node at a path has to wait for a later turn, which is then asked for."""
        meter = self.context.meter
        if meter.spent:
            self.act(Continue(path=path))
            return True
        meter.begin_node()
        return False

    def then(self, consequence: Callable[[], None]) -> None:
        """Puts a consequence on the agenda."""
        self.agenda.append(consequence)

    def settle(self) -> None:
        """Works the agenda off."""
        while self.agenda:
            self.agenda.popleft()()


def user_error(kind: str, message: str) -> step_pb2.StepError:
    """An error of the workflow's own making."""
    return step_pb2.StepError(error_class=step_pb2.ERROR_CLASS_USER, type=kind, message=message)
