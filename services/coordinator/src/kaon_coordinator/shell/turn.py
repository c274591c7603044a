"""One turn of a partition: a batch of messages becomes one transaction, and then effects."""

from __future__ import annotations

from dataclasses import dataclass, field

from kaon_coordinator.engine.actions import (
    Action,
)
from kaon_coordinator.engine.decide import decide
from kaon_coordinator.engine.decision import Context, Decision
from kaon_coordinator.engine.messages import Message
from kaon_coordinator.engine.rows.codec import (
    run_row,
    take_block_rows,
    take_dropped,
    take_step_rows,
)
from kaon_coordinator.engine.rows.rows import BlockRow, RunRow, StepRow
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.faults import Fault, note_fault
from kaon_coordinator.notifications.notices import notices_of
from kaon_coordinator.shell.atomic_effects import AtomicEffects
from kaon_coordinator.shell.dataset_updates import updates_of
from kaon_coordinator.store.base import InboxRow, NewRun
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2


@dataclass(kw_only=True)
class Turn:
    """The decisions of one batch, until they are durable."""

    context: Context
    # Number of partitions over which new runs are spread.
    partitions: int = 1
    events: list[history_pb2.HistoryEvent] = field(default_factory=list)
    actions: list[tuple[RunState, Action]] = field(default_factory=list)
    touched: dict[str, RunState] = field(default_factory=dict)
    applied_inbox: list[InboxRow] = field(default_factory=list)
    # Effects that are written together with the events.
    atomic_effects: AtomicEffects = field(default_factory=AtomicEffects)
    # Reports for steps of runs that are not in memory: (incarnation, key).
    disowned: list[tuple[str, step_pb2.StepKey]] = field(default_factory=list)
    stale: int = 0
    # Events and renewals without a valid lease token.
    unproven: int = 0
    # Runs that begin with this turn, by id.
    begun: dict[str, NewRun] = field(default_factory=dict)
    # Those of them that cannot: the turn contains nothing of them, and their submitters store them.
    turned_away: set[str] = field(default_factory=set)
    # Faulted runs by id. The turn contains nothing of them; they are ended after it.
    faulted: dict[str, FaultedRun] = field(default_factory=dict)

    def tell(self, state: RunState, message: Message) -> None:
        """Have the engine decide what follows from a message."""
        self.absorb(state, decide(state, message, self.context))

    def set_apart(self, run_id: str, fault: Fault) -> None:
        """Remove a run and all of its decisions from the turn: its state may be half of one decision."""
        if run_id in self.begun:
            self.turn_away(run_id)
            return
        rows = [row for row in self.applied_inbox if row.run_id == run_id]
        self.faulted[run_id] = FaultedRun(run_id=run_id, fault=fault, rows=rows)
        self._remove(run_id)

    def turn_away(self, run_id: str) -> None:
        """Remove a run that was to begin: nothing of it is stored."""
        del self.begun[run_id]
        self.turned_away.add(run_id)
        self._remove(run_id)

    def is_apart(self, run_id: str) -> bool:
        """Tell whether a run was removed from the turn."""
        return run_id in self.faulted or run_id in self.turned_away

    def _remove(self, run_id: str) -> None:
        self.applied_inbox = [row for row in self.applied_inbox if row.run_id != run_id]
        self.events = [event for event in self.events if event.run_id != run_id]
        self.actions = [(state, action) for state, action in self.actions if state.run_id != run_id]
        self.touched.pop(run_id, None)
        self.atomic_effects = self.atomic_effects.without(run_id)

    def absorb(self, state: RunState, decision: Decision) -> None:
        """Add a decision to the batch."""
        self.stale += decision.stale
        now_us = self.context.now_us
        for action in decision.actions:
            if not self.atomic_effects.take(
                state, action, now_us=now_us, partitions=self.partitions
            ):
                self.actions.append((state, action))
        if decision.events:
            self.events += decision.events
            if state.workflow.definition.notifications:
                self.atomic_effects.notices += notices_of(state, decision.events)
            if state.workflow.makes_datasets:
                self.atomic_effects.dataset_updates += updates_of(state, decision.events)
            self.touched[state.run_id] = state

    @property
    def is_reduced(self) -> bool:
        """Tell whether any run was removed from the turn."""
        return bool(self.faulted or self.turned_away)

    @property
    def durable(self) -> bool:
        """Tell whether the turn has nothing to make durable."""
        return not (self.events or self.applied_inbox or self.atomic_effects)


@dataclass(frozen=True, kw_only=True)
class FaultedRun:
    """A run that its owner cannot continue."""

    run_id: str
    fault: Fault
    # The commands applied to it meanwhile: they count as applied, or the next owner would meet the same
    # fault.
    rows: list[InboxRow] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The writes of a turn."""

    runs: list[RunRow]
    steps: dict[str, list[StepRow]]
    blocks: dict[str, list[BlockRow]]
    dropped: dict[str, list[str]]


def rows_of(turn: Turn) -> Rows:
    """Return the rows that the turn has changed, and clear the marks of change."""
    rows = Rows(runs=[], steps={}, blocks={}, dropped={})
    for run_id, state in list(turn.touched.items()):
        try:
            row, steps, blocks = run_row(state), take_step_rows(state), take_block_rows(state)
        except Exception as error:
            turn.set_apart(run_id, note_fault("its state became rows", error, run=run_id))
            continue
        rows.runs.append(row)
        rows.steps[run_id], rows.blocks[run_id] = steps, blocks
        if gone := take_dropped(state):
            rows.dropped[run_id] = gone
        state.rest()
    return rows
