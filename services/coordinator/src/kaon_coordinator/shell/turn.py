"""One turn of a partition: a batch of messages becomes one transaction, and only then effects."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from kaon_coordinator.engine import transitions as t
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
from kaon_coordinator.engine.decide import Context, Decision, decide
from kaon_coordinator.engine.messages import AttemptTimedOut, Due, Message, RetryDue
from kaon_coordinator.engine.rows import BlockRow, RunRow, StepRow
from kaon_coordinator.engine.rows_codec import run_row, take_block_rows, take_dropped, take_step_rows
from kaon_coordinator.engine.state import RunState
from kaon_coordinator.shell import requests
from kaon_coordinator.shell.leases import LeaseBook, LeaseId
from kaon_coordinator.shell.owed import Owed
from kaon_coordinator.shell.timers import Timers
from kaon_coordinator.store.base import Holder
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
    applied_inbox: list[int] = field(default_factory=list)
    # What is written together with the events.
    owed: Owed = field(default_factory=Owed)
    # Claims of runners to steps of runs that are not in memory: (incarnation, key).
    disowned: list[tuple[str, step_pb2.StepKey]] = field(default_factory=list)
    stale: int = 0

    def tell(self, state: RunState, message: Message) -> None:
        """Lets the engine decide what follows from a message."""
        self.absorb(state, decide(state, message, self.context))

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
class Rows:
    """What a turn writes."""

    runs: list[RunRow]
    steps: dict[str, list[StepRow]]
    blocks: dict[str, list[BlockRow]]
    dropped: dict[str, list[str]]


def rows_of(turn: Turn) -> Rows:
    """The rows that the turn has changed; asking clears the marks of change."""
    states = turn.touched
    steps = {run_id: take_step_rows(state) for run_id, state in states.items()}
    blocks = {run_id: take_block_rows(state) for run_id, state in states.items()}
    dropped = {run_id: gone for run_id, state in states.items() if (gone := take_dropped(state))}
    runs = [run_row(state) for state in states.values()]
    return Rows(runs=runs, steps=steps, blocks=blocks, dropped=dropped)


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
    for state, action in turn.actions:
        match action:
            case RequestStep(path=path):
                step = state.steps.get(path)
                # It may have moved on within the same turn.
                if step is not None and step.status == t.READY:
                    request = requests.step_request(state, step, partition=partition, epoch=epoch)
                    effects.requests[request.pool].append(request)
            case EndStep():
                _end(effects, watch, state, action)
            case RevokeLease(incarnation=incarnation):
                command = requests.revoke(state.run_id, action, partition=partition, epoch=epoch)
                effects.commands[incarnation].append(command)
            case WatchRetry(path=path, generation=generation, due_us=due_us):
                watch.timers.set(due_us, state.run_id, RetryDue(path=path, generation=generation))
            case WatchAttempt():
                _watch_attempt(watch, state, action, now)
            case WatchTime(timer=timer, path=path, due_us=due_us):
                watch.timers.set(due_us, state.run_id, Due(timer=timer, path=path, due_us=due_us))
            case GrantLease(incarnation=incarnation):
                command = requests.grant(state.run_id, action, partition=partition, epoch=epoch)
                effects.commands[incarnation].append(command)
            case SignalHolder(incarnation=incarnation):
                command = requests.signal(state.run_id, action, partition=partition, epoch=epoch)
                effects.commands[incarnation].append(command)
            case _:
                effects.questions.append((state, action))
    for incarnation, key in turn.disowned:
        command = requests.revoke_stale(key, partition=partition, epoch=epoch)
        effects.commands[incarnation].append(command)
    return effects


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
