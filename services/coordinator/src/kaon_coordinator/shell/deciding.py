"""Decides for one partition: converts records to messages of the engine, and collects its decisions in the turn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kaon_coordinator import replay
from kaon_coordinator.engine.decide import renew, submit
from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.messages import LeaseExpired, Message, PermitsGranted
from kaon_coordinator.engine.refusals import refuse
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.shell.inbound.commands import message_of as message_of_command
from kaon_coordinator.shell.inbound.newcomers import Beginning
from kaon_coordinator.shell.inbound.reports import lease_of, message_of
from kaon_coordinator.shell.lease_book import LeaseId
from kaon_coordinator.shell.lease_proofs import LeaseProofs
from kaon_coordinator.shell.partition import Partition, Stored
from kaon_coordinator.shell.turn import Turn
from kaon_coordinator.store.base import Holder, InboxRow, LoadedRun
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.step.v1 import step_pb2


@dataclass(frozen=True, kw_only=True)
class Decider:
    """Fills one turn of one partition."""

    partition: Partition
    turn: Turn
    # Monotonic seconds.
    now: float
    # What makes the word of a runner count.
    proofs: LeaseProofs

    def apply_command(self, row: InboxRow, fresh: Stored | None) -> None:
        """Apply a command; `fresh` is the run when it was not in memory and has not ended."""
        if self.turn.is_apart(row.run_id):
            # The command applies to the run as it is then.
            return
        self.turn.applied_inbox.append(row)
        try:
            self._apply_command(row, fresh)
        except Exception as error:
            self._set_apart(row.run_id, "a command was applied", error)

    def begin(self, beginning: Beginning) -> None:
        """Begin a run that is stored with this turn."""
        run, start = beginning.newcomer.run, beginning.newcomer.start
        self.turn.begun[run.run_id] = run
        try:
            self._apply_command(start, beginning.stored)
        except Exception as error:
            self._set_apart(run.run_id, "it began", error)

    def _apply_command(self, row: InboxRow, fresh: Stored | None) -> None:
        turn, runs = self.turn, self.partition.runs
        state = runs.get(row.run_id)
        if state is None and fresh is not None:
            state = fresh.base or replay.stored(fresh.run, fresh.workflow)
            runs[row.run_id] = state
        if state is None:
            return
        if state.seq == 0 and fresh is not None:
            turn.absorb(
                state,
                submit(state, submitted=submitted(fresh.run, row.command), context=turn.context),
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
            # A command to an ended run changed nothing.
            del runs[row.run_id]

    def apply_report(self, record: step_pb2.StepEvents) -> None:
        """Apply a runner's record: its events and its renewal, as far as lease tokens prove them."""
        for event in record.events:
            if not self._is_proven(record, event.key):
                continue
            try:
                message = message_of(record, event)
                if message is None:
                    continue
                state = self.partition.runs.get(event.key.run_id)
                if state is None:
                    self._disown(record, event.key)
                else:
                    self.turn.tell(state, message)
            except Exception as error:
                self._set_apart(event.key.run_id, "a runner's report was applied", error)
        for key in record.renewal.held:
            self._renew(record, key, queued=False)
        for key in record.renewal.queued:
            self._renew(record, key, queued=True)

    def _is_proven(self, record: step_pb2.StepEvents, key: step_pb2.StepKey) -> bool:
        state = self.partition.runs.get(key.run_id)
        if self.proofs.proves(key, record.incarnation, None if state is None else state.tenant):
            return True
        self.turn.unproven += 1
        return not self.proofs.required

    def _renew(self, record: step_pb2.StepEvents, key: step_pb2.StepKey, *, queued: bool) -> None:
        if not self._is_proven(record, key):
            return
        state = self.partition.runs.get(key.run_id)
        if state is None:
            self._disown(record, key)
            return
        try:
            self._renew_lease(state, record, key, queued=queued)
        except Exception as error:
            self._set_apart(key.run_id, "a lease was renewed", error)

    def _renew_lease(
        self, state: RunState, record: step_pb2.StepEvents, key: step_pb2.StepKey, *, queued: bool
    ) -> None:
        lease = lease_of(record, key)
        current, decision = renew(state, lease, self.turn.context, queued=queued)
        if current and not queued:
            held = LeaseId(run_id=key.run_id, issue=lease.issue)
            self.partition.watch.leases.renew(held, self.now)
        self.turn.absorb(state, decision)

    def _disown(self, record: step_pb2.StepEvents, key: step_pb2.StepKey) -> None:
        """Tell a runner to drop a step of an ended run.

        The owner holds every active run of its partition in memory, except runs that rest.
        """
        if self.partition.rests(self.turn, key.run_id):
            return
        self.turn.stale += 1
        self.turn.disowned.append((record.incarnation, key))

    def apply_answers(self, answers: Iterable[tuple[str, Message]]) -> None:
        """Apply the answers to questions of the engine."""
        for run_id, message in answers:
            state = self.partition.runs.get(run_id)
            if state is not None:
                self._tell(state, message)
            elif isinstance(message, PermitsGranted) and not self.partition.rests(
                self.turn, run_id
            ):
                # The answers are no longer needed.
                self.turn.atomic_effects.released.append(Holder(run_id=run_id, path=message.path))

    def apply_time(self, overdue: Iterable[LeaseId]) -> int:
        """Apply due timers and expired leases.

        Returns:
            How many of the expired leases were held until now; the steps of the others ended in the same turn.
        """
        partition, turn = self.partition, self.turn
        for run_id, message in partition.watch.timers.take_due(turn.context.now_us):
            state = partition.runs.get(run_id)
            if state is not None:
                self._tell(state, message)
        expired = 0
        for lease in overdue:
            partition.watch.leases.end(lease)
            state = partition.runs.get(lease.run_id)
            if state is not None:
                told = len(turn.events)
                self._tell(state, LeaseExpired(issue=lease.issue))
                expired += len(turn.events) > told
        return expired

    def _tell(self, state: RunState, message: Message) -> None:
        try:
            self.turn.tell(state, message)
        except Exception as error:
            self._set_apart(state.run_id, f"{type(message).__name__} was decided", error)

    def _set_apart(self, run_id: str, doing: str, error: BaseException) -> None:
        self.partition.set_apart(self.turn, run_id, doing, error)


def _name_refusals(events: Iterable[history_pb2.HistoryEvent], command_id: str) -> None:
    """Write the id of a refused command into its refusal, so that its requester finds the answer."""
    for event in events:
        if event.HasField("command_refused"):
            event.command_refused.command_id = command_id


def submitted(run: LoadedRun, command: command_pb2.RunCommand) -> history_pb2.RunSubmitted:
    """Return the first event of a run's history."""
    event = history_pb2.RunSubmitted(
        workflow=run.workflow,
        version=run.version,
        tenant=run.tenant,
        submitter=run.submitter,
        params_json=run.params,
        priority=run.row.priority,
        origin=run.origin,
        trace_parent=command.start.trace_parent,
        scheduled_time_us=command.start.scheduled_time_us,
    )
    if command.start.HasField("previous_success"):
        event.previous_success.CopyFrom(command.start.previous_success)
    if command.start.HasField("targets"):
        event.targets.CopyFrom(command.start.targets)
    if run.parent_run_id or run.depth:
        parent = history_pb2.RunParent(
            run_id=run.parent_run_id, path=run.parent_path, depth=run.depth
        )
        event.parent.CopyFrom(parent)
    if run.fork_run_id:
        start = command.start
        fork = history_pb2.RunFork(
            run_id=run.fork_run_id, seq=run.fork_seq, reset=start.reset, failed=start.failed
        )
        event.fork.CopyFrom(fork)
    return event
