"""One engine partition in its owner's memory: the active runs, their leases and timers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from kaon_coordinator import replay
from kaon_coordinator.engine.decision import Context
from kaon_coordinator.engine.definition.compiled import CompiledWorkflow
from kaon_coordinator.engine.rows.resume import derive
from kaon_coordinator.engine.rows.rows import StepRow
from kaon_coordinator.engine.state.state import RunState, StepState
from kaon_coordinator.faults import note_fault
from kaon_coordinator.shell import requests
from kaon_coordinator.shell.effects import Effects, Watch, effects_of
from kaon_coordinator.shell.gc_tuning import paused_collection
from kaon_coordinator.shell.lease_book import LeaseBook
from kaon_coordinator.shell.lease_proofs import NO_PROOFS, LeaseProofs
from kaon_coordinator.shell.step_index import StepIndex
from kaon_coordinator.shell.timers import Timers
from kaon_coordinator.shell.turn import FaultedRun, Turn
from kaon_coordinator.store.base import EncodedEvent, LoadedRun
from kaonapi.run.v1 import command_pb2
from kaonapi.step.v1 import step_pb2

M = TypeVar("M", step_pb2.StepRequest, step_pb2.StepHeld)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A run as stored, with its compiled definition."""

    run: LoadedRun
    workflow: CompiledWorkflow
    # The initial state of a fork that has not begun.
    base: RunState | None = None


class Partition:
    """The data of the owner of one partition.

    Args:
        number: The partition.
        epoch: The fencing token of the ownership.
        leases: The book of leases.
        proofs: Makes lease tokens.
    """

    def __init__(
        self, *, number: int, epoch: int, leases: LeaseBook, proofs: LeaseProofs = NO_PROOFS
    ) -> None:
        self.number = number
        self.epoch = epoch
        self.runs: dict[str, RunState] = {}
        self.watch = Watch(leases=leases, timers=Timers(), proofs=proofs)
        # The seq up to which each run's history is published, not yet recorded in the store.
        self.published: dict[str, int] = {}
        # Faulted runs, until they are ended.
        self.faulted: dict[str, FaultedRun] = {}
        # Faulted runs that could not be ended: this owner ignores them until a person takes them back.
        self.aside: set[str] = set()
        self._step_index = StepIndex()
        # Pools whose last report named too few requests.
        self._missed: set[str] = set()

    def adopt(self, loaded: Iterable[Stored], now: float) -> Effects:
        """Take over active runs from the store and derive pending work: requests, leases and timers.

        Requests that the last owner did not send are sent only here: a matcher that knows as many other steps, whose
        ends it was not told, reports no shortage.
        """
        with paused_collection():
            turn = Turn(context=NO_CONTEXT)
            for stored in loaded:
                if stored.run.row.seq == 0:
                    # Its start waits in the inbox.
                    continue
                try:
                    self._take_over(turn, stored)
                except Exception as error:
                    self.fault(stored.run.run_id, "it was taken over", error)
            effects = self.settle(turn, self.prepare_effects(turn, now))
        self.watch.leases.deafen(now)
        return effects

    def _take_over(self, turn: Turn, stored: Stored) -> None:
        state = replay.stored(stored.run, stored.workflow)
        actions = [(state, action) for action in derive(state)]
        self.runs[state.run_id] = state
        self._step_index.note(state, state.steps)
        turn.actions += actions

    def ready_pools(self) -> dict[str, int]:
        """Return how many steps wait in each pool in which any does."""
        return self._step_index.ready_pools(self.runs)

    def prepare_effects(self, turn: Turn, now: float) -> Effects:
        """Return the effects that a turn has when it is durable, and note its leases and timers.

        When the turn does not become durable, whoever reads these finds no run, or one to which they do not apply.
        """
        return effects_of(turn, self.watch, partition=self.number, epoch=self.epoch, now=now)

    def settle(self, turn: Turn, effects: Effects) -> Effects:
        """Return the effects of a turn that is durable now, and remove ended runs from memory."""
        for state in turn.touched.values():
            if state.ended:
                self.forget(state.run_id)
        for run_id, fault in effects.faulted.items():
            # An ended run needs nothing further.
            if run_id in self.runs:
                self.faulted.setdefault(run_id, FaultedRun(run_id=run_id, fault=fault))
        return effects

    def forget(self, run_id: str) -> None:
        """Forget a run that has ended or whose state in memory is invalid."""
        self.runs.pop(run_id, None)
        self._step_index.forget(run_id)

    def fault(self, run_id: str, doing: str, error: BaseException) -> None:
        """Record a fault of one run outside a turn; the run is to be ended."""
        fault = note_fault(doing, error, run=run_id, partition=self.number)
        self.faulted.setdefault(run_id, FaultedRun(run_id=run_id, fault=fault))

    def set_apart(self, turn: Turn, run_id: str, doing: str, error: BaseException) -> None:
        """Record a fault of one run within a turn: its state in memory no longer matches the store."""
        turn.set_apart(run_id, note_fault(doing, error, run=run_id, partition=self.number))
        self.forget(run_id)

    def rests(self, turn: Turn, run_id: str) -> bool:
        """Tell whether decisions about a run are suspended."""
        return turn.is_apart(run_id) or run_id in self.faulted or run_id in self.aside

    def note_rows(self, rows: Mapping[str, Sequence[StepRow]]) -> None:
        """Update the indexes for the steps that a turn has changed."""
        for run_id, changed in rows.items():
            self._step_index.note(self.runs[run_id], [row.path for row in changed])

    def note_published(self, events: Iterable[EncodedEvent]) -> None:
        """Record that these events are published and acknowledged."""
        for event in events:
            self.published[event.run_id] = event.seq

    def is_due(self, now_us: int) -> bool:
        """Tell whether a timer is due."""
        next_us = self.watch.timers.next_us()
        return next_us is not None and next_us <= now_us

    def take_published(self) -> dict[str, int]:
        """Return how far the runs' histories have been published since the last call."""
        published, self.published = self.published, {}
        return published

    def take_published_of_ended(self) -> dict[str, int]:
        """Return the same of the runs that have ended: what was published of others will soon be less than all again."""
        ended = [run_id for run_id in self.published if run_id not in self.runs]
        return {run_id: self.published.pop(run_id) for run_id in ended}

    def misses(self, report: command_pb2.PoolReport) -> bool:
        """Tell whether a matcher knew fewer requests than there are READY steps, twice in a row: once may be timing."""
        ready = self._step_index.count_ready(report.pool, self.runs)
        missing = report.waiting + report.released < ready
        again = missing and report.pool in self._missed
        self._missed.discard(report.pool)
        if missing and not again:
            self._missed.add(report.pool)
        return again

    def answer_pool(self, pool: str) -> tuple[list[step_pb2.StepRequest], list[step_pb2.StepHeld]]:
        """Collect everything of this partition that a pool's new matcher must know."""
        ready: list[step_pb2.StepRequest] = []
        held: list[step_pb2.StepHeld] = []
        for state, step in self._step_index.ready(pool, self.runs):
            self._answer(
                ready,
                state,
                step,
                partial(requests.step_request, partition=self.number, epoch=self.epoch),
            )
        for state, step in self._step_index.held(pool, self.runs):
            self._answer(held, state, step, requests.held_step)
        return ready, held

    def _answer(
        self,
        answers: list[M],
        state: RunState,
        step: StepState,
        make: Callable[[RunState, StepState], M],
    ) -> None:
        """Add one step to the answer to a matcher."""
        if state.run_id in self.faulted:
            return
        try:
            answers.append(make(state, step))
        except Exception as error:
            self.fault(state.run_id, "its requests were made", error)


def _never(expression: str, variables: object) -> object:
    raise AssertionError(
        f"no decision is made here, yet {expression!r} over {variables!r} was evaluated"
    )


# For turns that carry only actions.
NO_CONTEXT = Context(now_us=0, evaluate=_never)
