"""A decision under construction: events for the history and actions for the shell.

One `Decision` handles one message. It folds each event into the state at once, so later parts of the same
decision see the change. Consequences wait in an agenda instead of on the call stack: a chain of any length
needs no stack depth.

Scopes start, stop and end their nodes without knowing the kinds of nodes: each decision carries the table of
kinds, which `decide` passes in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, TypeVarTuple

from kaon_coordinator.engine.actions import Action, Continue
from kaon_coordinator.engine.definition.limits import DEFAULT, Limits
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import Evaluate
from kaon_coordinator.engine.state.evolve import evolve
from kaon_coordinator.engine.state.state import BlockState, Node, RunState, ScopeState, StepState
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

Args = TypeVarTuple("Args")
# Error type of unforeseen exceptions.
ENGINE_FAULT = "EngineFault"


def _middle() -> float:
    return 0.5


def refuse_nothing(tenant: str, priority: int, step: d.Step) -> str:
    """Let every step have its policies."""
    return ""


class Meter(Protocol):
    """A budget for the cost of the expressions of one turn."""

    @property
    def spent(self) -> bool:
        """Tell whether the turn has used up its budget: further evaluation is left to a later turn."""

    def begin_node(self) -> None:
        """Mark the start of another node's expressions."""


class MeteredEvaluate(Meter, Protocol):
    """Evaluates expressions and counts their cost."""

    def __call__(self, expression: str, variables: Mapping[str, Any], /) -> Any:
        """Return the value of an expression over named values.

        Raises:
            KaonError: The expression cannot be evaluated; the text names the expression and the reason.
        """


class Unmetered:
    """A meter without a budget."""

    spent = False

    def begin_node(self) -> None:
        """Count nothing."""


@dataclass(kw_only=True)
class CellsStarted:
    """How many cells foreaches have started in one turn, by (run, path): a bounded number, so that others have their turn."""

    count: dict[tuple[str, str], int] = field(default_factory=dict)
    # Those that go on in the next turn.
    deferred: set[tuple[str, str]] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class Context:
    """Everything besides the state and the message that the decisions of one turn may depend on."""

    # Returns microseconds since the epoch.
    now_us: int
    evaluate: Evaluate
    limits: Limits = DEFAULT
    meter: Meter = field(default_factory=Unmetered)
    # Returns why a step may not have policies that became known only now: of the tenant, in a run of this priority. Empty: it may.
    refusal: Callable[[str, int, d.Step], str] = refuse_nothing
    # Between 0 and 1, for jitter; the events record the drawn value.
    random: Callable[[], float] = _middle
    cells: CellsStarted = field(default_factory=CellsStarted)


@dataclass(frozen=True, kw_only=True)
class StepKind:
    """The operations of scopes on steps."""

    # Start a pending step.
    start: Callable[[Decision, StepState], None]
    # Stop an active step; a step without a holder ends at once with the given status.
    stop: Callable[[Decision, StepState, t.Status], None]
    # Stop an open step that serves others and that nothing needs any more.
    dismiss: Callable[[Decision, StepState], None]
    # End a step and notify its scope.
    end: Callable[[Decision, StepState, t.Status, step_pb2.StepError | None], None]


def _no_cells(decision: Decision, block: BlockState, cell: ScopeState) -> NoReturn:
    raise AssertionError(
        f"{cell.path} has ended, but a block of the kind {block.kind} has no cells"
    )


def _nothing(decision: Decision, block: BlockState) -> None:
    """Do nothing: the block only waits for messages and has nothing outside the run."""


@dataclass(frozen=True, kw_only=True)
class BlockKind:
    """The operations of scopes on blocks of one kind."""

    # Start a pending block, or first request what it needs from outside. Raises KaonError when an expression
    # cannot be evaluated.
    start: Callable[[Decision, BlockState], None]
    # Stop an active block. A block that waits for nothing ends at once with the given status.
    stop: Callable[[Decision, BlockState, t.Status], None]
    # Handle the end of a cell of a block that was not stopped.
    cell_ended: Callable[[Decision, BlockState, ScopeState], None] = _no_cells
    # Continue a running block after a pause, a reopening, a takeover or a fork. Idempotent.
    advance: Callable[[Decision, BlockState], None] = _nothing
    # Repeat the pending questions of an active block, since the run's last owner may not have sent them.
    # Gives actions, but no events.
    derive: Callable[[Decision, BlockState], None] = _nothing
    # Stop whatever an active block has outside the run, which ends by a fault. Gives actions, but no events.
    abandon: Callable[[Decision, BlockState], None] = _nothing

    @property
    def has_cells(self) -> bool:
        """Tell whether blocks of this kind hold scopes.

        A fork continues such blocks with their cells; blocks without cells begin anew.
        """
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
NO_KINDS = Kinds(
    step=StepKind(start=_no_kind, stop=_no_kind, dismiss=_no_kind, end=_no_kind), blocks={}
)


@dataclass(kw_only=True)
class Decision:
    """The outcome of one message, under construction."""

    state: RunState
    context: Context
    kinds: Kinds = NO_KINDS
    events: list[history_pb2.HistoryEvent] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    agenda: deque[tuple[Callable[..., None], tuple[Any, ...]]] = field(default_factory=deque)
    # Reports under a lease that is not, or no longer, the step's current lease.
    stale: int = 0
    # By path of a foreach: cells that this decision has started, and whose nodes it has still to start.
    opening: dict[str, int] = field(default_factory=dict)
    # Path of the step whose success is being decided; empty when none is.
    succeeded: str = ""

    def emit(self, **event: Any) -> None:
        """Append an event (field name and message) to the history and fold it into the state."""
        state = self.state
        now_us = max(self.context.now_us, state.newest_us)
        record = history_pb2.HistoryEvent(
            run_id=state.run_id, seq=state.seq + 1, time_us=now_us, **event
        )
        evolve(state, record)
        self.events.append(record)

    def act(self, action: Action) -> None:
        """Request an action of the shell, to be executed once the events are durable."""
        self.actions.append(action)

    def defers(self, path: str) -> bool:
        """Tell whether the evaluation for the node at a path must wait for a later turn; if so, request that turn."""
        meter = self.context.meter
        if meter.spent:
            self.act(Continue(path=path))
            return True
        meter.begin_node()
        return False

    def then(self, consequence: Callable[[Decision, *Args], None], *args: *Args) -> None:
        """Put a consequence on the agenda: it is called with the decision and these arguments."""
        # Not as a closure, whose making costs more than all else here.
        self.agenda.append((consequence, args))

    def settle(self) -> None:
        """Work off the agenda."""
        while self.agenda:
            consequence, args = self.agenda.popleft()
            consequence(self, *args)


def user_error(kind: str, message: str) -> step_pb2.StepError:
    """Return an error caused by the workflow itself."""
    return step_pb2.StepError(error_class=step_pb2.ERROR_CLASS_USER, type=kind, message=message)
