"""What follows from a message: events for the history and actions for the shell.

One `Decision` handles one message. Each event is folded into the state as soon as it is decided, so later parts of the same
decision see it. Consequences wait in an agenda instead of on the call stack: a chain of any length costs no depth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kaon_coordinator.engine.actions import Action, Continue
from kaon_coordinator.engine.bindings import Evaluate
from kaon_coordinator.engine.evolve import evolve
from kaon_coordinator.engine.limits import DEFAULT, Limits
from kaon_coordinator.engine.messages import Message
from kaon_coordinator.engine.state import RunState
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


@dataclass(kw_only=True)
class Decision:
    """The outcome of one message, while it is being made."""

    state: RunState
    context: Context
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


def decide(state: RunState, message: Message, context: Context) -> Decision:
    """Decides what follows from `message` and folds it into `state`.

    Total: a message that no longer fits (late, doubled, stale) gives no events, at most a revoke or a refusal in the history.
    """
    from kaon_coordinator.engine.handlers import handle

    decision = Decision(state=state, context=context)
    handle(decision, message)
    decision.settle()
    return decision


def submit(state: RunState, *, submitted: history_pb2.RunSubmitted, context: Context) -> Decision:
    """The first event of a run that has just been accepted."""
    decision = Decision(state=state, context=context)
    decision.emit(run_submitted=submitted)
    return decision


def user_error(kind: str, message: str) -> step_pb2.StepError:
    """An error of the workflow's own making."""
    return step_pb2.StepError(error_class=step_pb2.ERROR_CLASS_USER, type=kind, message=message)
