"""One engine partition, as its owner keeps it in memory: the unfinished runs, their leases and timers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from kaon_coordinator import replay
from kaon_coordinator.engine.decide import submit
from kaon_coordinator.engine.decision import Context, Decision
from kaon_coordinator.engine.definition.compiled import CompiledWorkflow
from kaon_coordinator.engine.messages import LeaseExpired, Message, PermitsGranted
from kaon_coordinator.engine.refusals import refuse
from kaon_coordinator.engine.rows.resume import derive
from kaon_coordinator.engine.rows.rows import StepRow
from kaon_coordinator.engine.state.state import RunState, StepState
from kaon_coordinator.engine.steps.leases import revoke_unless_current
from kaon_coordinator.faults import note_fault
from kaon_coordinator.shell import requests
from kaon_coordinator.shell.collecting import paused_collection
from kaon_coordinator.shell.commands import message_of as message_of_command
from kaon_coordinator.shell.decoding import lease_of, message_of
from kaon_coordinator.shell.leases import LeaseBook, LeaseId
from kaon_coordinator.shell.timers import Timers
from kaon_coordinator.shell.turn import Effects, FaultedRun, Turn, Watch, effects_of
from kaon_coordinator.shell.whereabouts import Whereabouts
from kaon_coordinator.store.base import EncodedEvent, Holder, InboxRow, LoadedRun
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.step.v1 import step_pb2

M = TypeVar("M", step_pb2.StepRequest, step_pb2.StepHeld)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A run as the store has it, with its compiled definition."""

    run: LoadedRun
    workflow: CompiledWorkflow
    # What a fork that has not begun begins with.
    base: RunState | None = None


class Partition:
    """What the owner of one partition knows.

    Args:
        number: the partition.
        epoch: the fencing token under which it is owned.
        leases: the book of leases.
    """

    def __init__(self, *, number: int, epoch: int, leases: LeaseBook) -> None:
        self.number = number
        self.epoch = epoch
        self.runs: dict[str, RunState] = {}
        self.watch = Watch(leases=leases, timers=Timers())
        # Up to which seq each run's history has been published, not yet noted in the store.
        self.published: dict[str, int] = {}
        # Runs with which this owner cannot go on, until they are ended.
        self.faulted: dict[str, FaultedRun] = {}
        # Runs that could not be ended either: nobody touches them until somebody asks for it.
        self.aside: set[str] = set()
        self._whereabouts = Whereabouts()
        # Pools whose last report named too few.
        self._missed: set[str] = set()

    def adopt(self, loaded: Iterable[Stored], now: float) -> Effects:
        """Takes over unfinished runs from the store. What was in flight is derived anew: requests, leases and timers."""
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
            effects = self.effects(turn, now)
        self.watch.leases.deafen(now)
        return effects

    def _take_over(self, turn: Turn, stored: Stored) -> None:
        state = replay.stored(stored.run, stored.workflow)
        actions = [(state, action) for action in derive(state)]
        self.runs[state.run_id] = state
        self._whereabouts.note(state, state.steps)
        turn.actions += actions

    def effects(self, turn: Turn, now: float) -> Effects:
        """What a durable turn lets out; ended runs leave the memory."""
        effects = effects_of(turn, self.watch, partition=self.number, epoch=self.epoch, now=now)
        for state in turn.touched.values():
            if state.ended:
                self.forget(state.run_id)
        for run_id, fault in effects.faulted.items():
            # Of one that has ended nothing is left to be done.
            if run_id in self.runs:
                self.faulted.setdefault(run_id, FaultedRun(run_id=run_id, fault=fault))
        return effects

    def forget(self, run_id: str) -> None:
        """The run has ended, or what is in memory of it must not be used."""
        self.runs.pop(run_id, None)
        self._whereabouts.forget(run_id)

    def fault(self, run_id: str, doing: str, error: BaseException) -> None:
        """Something unforeseen was raised for one run beside a turn; the run is to be ended."""
        fault = note_fault(doing, error, run=run_id, partition=self.number)
        self.faulted.setdefault(run_id, FaultedRun(run_id=run_id, fault=fault))

    def _set_apart(self, turn: Turn, run_id: str, doing: str, error: BaseException) -> None:
        """Something unforeseen was raised for one run within a turn: its state is not what is stored any more."""
        turn.set_apart(run_id, note_fault(doing, error, run=run_id, partition=self.number))
        self.forget(run_id)

    def note_rows(self, rows: Mapping[str, Sequence[StepRow]]) -> None:
        """Takes note of the steps that a turn has changed."""
        for run_id, changed in rows.items():
            self._whereabouts.note(self.runs[run_id], [row.path for row in changed])

    def note_published(self, events: Iterable[EncodedEvent]) -> None:
        """These events have been published and acknowledged."""
        for event in events:
            self.published[event.run_id] = event.seq

    def is_due(self, now_us: int) -> bool:
        """Whether a timer has come."""
        next_us = self.watch.timers.next_us()
        return next_us is not None and next_us <= now_us

    def take_published(self) -> dict[str, int]:
        """How far the runs' histories have been published since the last call."""
        published, self.published = self.published, {}
        return published

    def apply_inbox(self, turn: Turn, row: InboxRow, fresh: Stored | None) -> None:
        """Applies a command; `fresh` is the run when it was not in memory and has not ended."""
        if row.run_id in turn.faulted:
            # It is for the run as it is then.
            return
        turn.applied_inbox.append(row)
        try:
            self._apply_command(turn, row, fresh)
        except Exception as error:
            self._set_apart(turn, row.run_id, "a command was applied", error)

    def _apply_command(self, turn: Turn, row: InboxRow, fresh: Stored | None) -> None:
        state = self.runs.get(row.run_id)
        if state is None and fresh is not None:
            state = fresh.base or replay.stored(fresh.run, fresh.workflow)
            self.runs[row.run_id] = state
        if state is None:
            return
        if state.seq == 0 and fresh is not None:
            turn.absorb(
                state, submit(state, submitted=submitted(fresh.run, row.command), context=turn.context)
            )
        told = len(turn.events)
        try:
            message = message_of_command(row.command)
        except InvalidValue as error:
            decision = Decision(state=state, context=turn.context)
            refuse(decision, "command", "", str(error), row.command.requester)
            turn.absorb(state, decision)
        else:
            turn.tell(state, message)
        _name_refusals(turn.events[told:], row.command.command_id)
        if state.ended and row.run_id not in turn.touched:
            # What was asked of an ended run has changed nothing.
            del self.runs[row.run_id]

    def apply_answers(self, turn: Turn, answers: Iterable[tuple[str, Message]]) -> None:
        """Applies what was asked outside."""
        for run_id, message in answers:
            state = self.runs.get(run_id)
            if state is not None:
                self._tell(turn, state, message)
            elif isinstance(message, PermitsGranted) and not self._rests(turn, run_id):
                # Nobody needs them any more.
                turn.owed.released.append(Holder(run_id=run_id, path=message.path))

    def apply_report(self, turn: Turn, record: step_pb2.StepEvents, now: float) -> None:
        """Applies a runner's record: its renewal and its events."""
        for event in record.events:
            try:
                message = message_of(record, event)
                if message is None:
                    continue
                state = self.runs.get(event.key.run_id)
                if state is None:
                    self._disown(turn, record, event.key)
                else:
                    turn.tell(state, message)
            except Exception as error:
                self._set_apart(turn, event.key.run_id, "a runner's report was applied", error)
        for key in record.renewal.held:
            self._renew(turn, record, key, now, queued=False)
        for key in record.renewal.queued:
            self._renew(turn, record, key, now, queued=True)

    def _renew(
        self, turn: Turn, record: step_pb2.StepEvents, key: step_pb2.StepKey, now: float, *, queued: bool
    ) -> None:
        state = self.runs.get(key.run_id)
        if state is None:
            self._disown(turn, record, key)
            return
        try:
            self._renew_lease(turn, state, record, key, now, queued=queued)
        except Exception as error:
            self._set_apart(turn, key.run_id, "a lease was renewed", error)

    def _renew_lease(
        self,
        turn: Turn,
        state: RunState,
        record: step_pb2.StepEvents,
        key: step_pb2.StepKey,
        now: float,
        *,
        queued: bool,
    ) -> None:
        decision = Decision(state=state, context=turn.context)
        if revoke_unless_current(decision, lease_of(record, key), queued=queued) and not queued:
            lease = LeaseId(run_id=key.run_id, path=key.path, generation=key.generation)
            self.watch.leases.renew(lease, now)
        turn.absorb(state, decision)

    def _disown(self, turn: Turn, record: step_pb2.StepEvents, key: step_pb2.StepKey) -> None:
        """Tells a runner to drop a step of a run that has ended: the owner has every unfinished run of its partition in memory,
        but for those that rest."""
        if self._rests(turn, key.run_id):
            return
        turn.stale += 1
        turn.disowned.append((record.incarnation, key))

    def _rests(self, turn: Turn, run_id: str) -> bool:
        """Whether nothing is decided about a run for now."""
        return run_id in turn.faulted or run_id in self.faulted or run_id in self.aside

    def _tell(self, turn: Turn, state: RunState, message: Message) -> None:
        try:
            turn.tell(state, message)
        except Exception as error:
            self._set_apart(turn, state.run_id, f"{type(message).__name__} was decided", error)

    def apply_time(self, turn: Turn, overdue: Iterable[LeaseId]) -> int:
        """Applies the passing of time: due timers, and the leases that are known to have expired. Returns how many of these were
        held until now; the others' steps have ended in the same turn."""
        for run_id, message in self.watch.timers.take_due(turn.context.now_us):
            state = self.runs.get(run_id)
            if state is not None:
                self._tell(turn, state, message)
        expired = 0
        for lease in overdue:
            self.watch.leases.end(lease)
            state = self.runs.get(lease.run_id)
            if state is not None:
                told = len(turn.events)
                self._tell(turn, state, LeaseExpired(path=lease.path, generation=lease.generation))
                expired += len(turn.events) > told
        return expired

    def misses(self, report: command_pb2.PoolReport) -> bool:
        """Whether a matcher knows fewer requests than there are READY steps, twice in a row: once may be a matter of time."""
        ready = self._whereabouts.count_ready(report.pool, self.runs)
        missing = report.waiting + report.released < ready
        again = missing and report.pool in self._missed
        self._missed.discard(report.pool)
        if missing and not again:
            self._missed.add(report.pool)
        return again

    def answer_pool(self, pool: str) -> tuple[list[step_pb2.StepRequest], list[step_pb2.StepHeld]]:
        """Everything of this partition that the new matcher of a pool must know."""
        ready: list[step_pb2.StepRequest] = []
        held: list[step_pb2.StepHeld] = []
        for state, step in self._whereabouts.ready(pool, self.runs):
            self._answer(
                ready, state, step, partial(requests.step_request, partition=self.number, epoch=self.epoch)
            )
        for state, step in self._whereabouts.held(pool, self.runs):
            self._answer(held, state, step, requests.held_step)
        return ready, held

    def _answer(
        self, answers: list[M], state: RunState, step: StepState, make: Callable[[RunState, StepState], M]
    ) -> None:
        """Adds what a matcher must know of one step."""
        if state.run_id in self.faulted:
            return
        try:
            answers.append(make(state, step))
        except Exception as error:
            self.fault(state.run_id, "its requests were made", error)


def _name_refusals(events: Iterable[history_pb2.HistoryEvent], command_id: str) -> None:
    """Notes in refusals which command was refused, so that its requester finds the answer."""
    for event in events:
        if event.HasField("command_refused"):
            event.command_refused.command_id = command_id


def submitted(run: LoadedRun, command: command_pb2.RunCommand) -> history_pb2.RunSubmitted:
    """The first event of a run's history."""
    event = history_pb2.RunSubmitted(
        workflow=run.workflow,
        version=run.version,
        tenant=run.tenant,
        submitter=run.submitter,
        params_json=run.params,
        priority=run.row.priority,
        origin=run.origin,
        trace_parent=command.start.trace_parent,
    )
    if run.parent_run_id:
        parent = history_pb2.RunParent(run_id=run.parent_run_id, path=run.parent_path, depth=run.depth)
        event.parent.CopyFrom(parent)
    if run.fork_run_id:
        reset = command.start.reset
        event.fork.CopyFrom(history_pb2.RunFork(run_id=run.fork_run_id, seq=run.fork_seq, reset=reset))
    return event


def _never(expression: str, variables: object) -> object:
    raise AssertionError(f"no decision is made here, yet {expression!r} over {variables!r} was evaluated")


# For turns that only carry actions.
NO_CONTEXT = Context(now_us=0, evaluate=_never)
