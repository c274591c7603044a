"""One turn of a partition: a batch of messages becomes one transaction, and only then effects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from kaon_coordinator.engine.actions import (
    Action,
    EndStep,
    GrantLease,
    RequestStep,
    RevokeLease,
    SignalHolder,
    WatchAttempt,
    WatchRetry,
    WatchTime,
)
from kaon_coordinator.engine.decide import decide
from kaon_coordinator.engine.decision import Context, Decision
from kaon_coordinator.engine.messages import AttemptTimedOut, Due, Message, RetryDue
from kaon_coordinator.engine.rows.codec import run_row, take_block_rows, take_dropped, take_step_rows
from kaon_coordinator.engine.rows.rows import BlockRow, RunRow, StepRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.faults import Fault, note_fault
from kaon_coordinator.shell import requests
from kaon_coordinator.shell.leases import LeaseBook, LeaseId
from kaon_coordinator.shell.owed import Owed
from kaon_coordinator.shell.timers import Timers
from kaon_coordinator.store.base import Holder, InboxRow
from kaonapi.run.v1 import history_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

# The runner ends an attempt that takes too long by itself; the engine steps in when it has not by then.
TIMEOUT_GRACE_US = 5_000_000


@dataclass(kw_only=True)
class Turn:
    """The decisions of one batch, until they are durable."""

    context: Context
    # Among how many partitions new runs are spread.
    partitions: int = 1
    events: list[history_pb2.HistoryEvent] = field(default_factory=list)
    actions: list[tuple[RunState, Action]] = field(default_factory=list)
    touched: dict[str, RunState] = field(default_factory=dict)
    applied_inbox: list[InboxRow] = field(default_factory=list)
    # What is written together with the events.
    owed: Owed = field(default_factory=Owed)
    # Claims of runners to steps of runs that are not in memory: (incarnation, key).
    disowned: list[tuple[str, step_pb2.StepKey]] = field(default_factory=list)
    stale: int = 0
    # Runs that cannot go on, by id. Nothing of them is in the turn; they are ended after it.
    faulted: dict[str, FaultedRun] = field(default_factory=dict)

    def tell(self, state: RunState, message: Message) -> None:
        """Lets the engine decide what follows from a message."""
        self.absorb(state, decide(state, message, self.context))

    def set_apart(self, run_id: str, fault: Fault) -> None:
        """Takes a run out of the turn with all that was decided for it: its state may be half of one decision."""
        rows = [row for row in self.applied_inbox if row.run_id == run_id]
        self.faulted[run_id] = FaultedRun(run_id=run_id, fault=fault, rows=rows)
        self.applied_inbox = [row for row in self.applied_inbox if row.run_id != run_id]
        self.events = [event for event in self.events if event.run_id != run_id]
        self.actions = [(state, action) for state, action in self.actions if state.run_id != run_id]
        self.touched.pop(run_id, None)
        self.owed = self.owed.without(run_id)

    def absorb(self, state: RunState, decision: Decision) -> None:
        """Takes a decision into the batch."""
        self.stale += decision.stale
        now_us = self.context.now_us
        for action in decision.actions:
            if not self.owed.take(state, action, now_us=now_us, partitions=self.partitions):
                self.actions.append((state, action))
        if decision.events:
            self.events += decision.events
            self.touched[state.run_id] = state

    @property
    def durable(self) -> bool:
        """Whether there is nothing that must be made durable first."""
        return not (self.events or self.applied_inbox or self.owed)


@dataclass(frozen=True, kw_only=True)
class FaultedRun:
    """A run with which its owner cannot go on."""

    run_id: str
    fault: Fault
    # The commands that were applied to it meanwhile: they count as applied, or the next owner would meet the same.
    rows: list[InboxRow] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a turn writes."""

    runs: list[RunRow]
    steps: dict[str, list[StepRow]]
    blocks: dict[str, list[BlockRow]]
    dropped: dict[str, list[str]]


def rows_of(turn: Turn) -> Rows:
    """The rows that the turn has changed; asking clears the marks of change."""
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
    return rows


@dataclass(kw_only=True)
class Effects:
    """What a durable turn lets out."""

    # By pool.
    requests: dict[str, list[step_pb2.StepRequest]] = field(default_factory=lambda: defaultdict(list))
    ended: dict[str, list[step_pb2.StepEnded]] = field(default_factory=lambda: defaultdict(list))
    # By incarnation.
    commands: dict[str, list[runner_pb2.RunnerCommand]] = field(default_factory=lambda: defaultdict(list))
    # What must be asked outside.
    questions: list[tuple[RunState, Action]] = field(default_factory=list)
    # Whose inboxes have been filled.
    told: set[str] = field(default_factory=set)
    # Who has given permits back.
    released: list[Holder] = field(default_factory=list)
    # Runs of which something could not be let out.
    faulted: dict[str, Fault] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Watch:
    """The books that a partition keeps about time."""

    leases: LeaseBook
    timers: Timers


def effects_of(turn: Turn, watch: Watch, *, partition: int, epoch: int, now: float) -> Effects:
    """What the turn's actions let out, and what they put into the books (`now` in monotonic seconds)."""
    effects = Effects(released=turn.owed.released)
    effects.told |= {run.run_id for run in turn.owed.new_runs}
    effects.told |= {message.run_id for message in turn.owed.messages}
    letting = _Letting(effects=effects, watch=watch, partition=partition, epoch=epoch, now=now)
    for state, action in turn.actions:
        if state.run_id in effects.faulted:
            continue
        try:
            letting.out(state, action)
        except Exception as error:
            effects.faulted[state.run_id] = note_fault("its requests were made", error, run=state.run_id)
    for incarnation, key in turn.disowned:
        command = requests.revoke_stale(key, partition=partition, epoch=epoch)
        effects.commands[incarnation].append(command)
    return effects


@dataclass(frozen=True, kw_only=True)
class _Letting:
    """Sorts actions into effects and books."""

    effects: Effects
    watch: Watch
    partition: int
    epoch: int
    now: float

    def out(self, state: RunState, action: Action) -> None:
        """Lets one action out."""
        watch = self.watch
        match action:
            case RequestStep(path=path):
                self._request(state, path)
            case EndStep():
                _end(self.effects, watch, state, action)
            case RevokeLease(incarnation=incarnation):
                self._command(requests.revoke, state, incarnation, action)
            case WatchRetry(path=path, generation=generation, due_us=due_us):
                watch.timers.set(due_us, state.run_id, RetryDue(path=path, generation=generation))
            case WatchAttempt():
                _watch_attempt(watch, state, action, self.now)
            case WatchTime(timer=timer, path=path, due_us=due_us):
                watch.timers.set(due_us, state.run_id, Due(timer=timer, path=path, due_us=due_us))
            case GrantLease(incarnation=incarnation):
                self._command(requests.grant, state, incarnation, action)
            case SignalHolder(incarnation=incarnation):
                self._command(requests.signal, state, incarnation, action)
            case _:
                self.effects.questions.append((state, action))

    def _request(self, state: RunState, path: str) -> None:
        step = state.steps.get(path)
        # It may have moved on within the same turn.
        if step is not None and step.status == t.READY:
            request = requests.step_request(state, step, partition=self.partition, epoch=self.epoch)
            self.effects.requests[request.pool].append(request)

    def _command(
        self, make: Callable[..., runner_pb2.RunnerCommand], state: RunState, incarnation: str, action: Action
    ) -> None:
        command = make(state.run_id, action, partition=self.partition, epoch=self.epoch)
        self.effects.commands[incarnation].append(command)


def _end(effects: Effects, watch: Watch, state: RunState, action: EndStep) -> None:
    key = step_pb2.StepKey(
        run_id=state.run_id, path=action.path, attempt=action.attempt, generation=action.generation
    )
    pool = requests.pool_at(state, action.path)
    effects.ended[pool].append(step_pb2.StepEnded(key=key))
    watch.leases.end(LeaseId(run_id=state.run_id, path=action.path, generation=action.generation))


def _watch_attempt(watch: Watch, state: RunState, action: WatchAttempt, now: float) -> None:
    step = state.steps.get(action.path)
    if step is None:
        return
    if step.generation == action.generation and step.status in {t.RUNNING, t.CANCELLING}:
        lease = LeaseId(run_id=state.run_id, path=action.path, generation=action.generation)
        watch.leases.hold(lease, now)
    if action.timeout_us:
        message = AttemptTimedOut(path=action.path, generation=action.generation)
        watch.timers.set(action.timeout_us + TIMEOUT_GRACE_US, state.run_id, message)
