"""Effects of a durable turn: requests, commands to runners, queries, and entries in the books of leases and timers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from kaon_coordinator.engine.actions import (
    Action,
    EndChain,
    EndStep,
    GrantLease,
    RequestStep,
    RevokeLease,
    SignalHolder,
    WatchAttempt,
    WatchRetry,
    WatchTime,
)
from kaon_coordinator.engine.messages import AttemptTimedOut, Due, RetryDue
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState, StepState
from kaon_coordinator.engine.steps.succession import is_renewal_due, leader_of
from kaon_coordinator.faults import Fault, note_fault
from kaon_coordinator.shell import requests
from kaon_coordinator.shell.lease_book import LeaseBook, LeaseId
from kaon_coordinator.shell.lease_proofs import LeaseProofs
from kaon_coordinator.shell.timers import Timers
from kaon_coordinator.shell.turn import Turn
from kaon_coordinator.store.base import Holder
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

# The runner ends an attempt that exceeds its time-out; after this margin the engine does.
TIMEOUT_GRACE_US = 5_000_000


@dataclass(kw_only=True)
class Effects:
    """The effects of a durable turn."""

    # By pool.
    requests: dict[str, list[step_pb2.StepRequest]] = field(
        default_factory=lambda: defaultdict(list)
    )
    ended: dict[str, list[step_pb2.StepEnded]] = field(default_factory=lambda: defaultdict(list))
    # Steps that a runner has begun before they were requested.
    held: dict[str, list[step_pb2.StepHeld]] = field(default_factory=lambda: defaultdict(list))
    # By incarnation.
    commands: dict[str, list[runner_pb2.RunnerCommand]] = field(
        default_factory=lambda: defaultdict(list)
    )
    # Questions to be answered outside the engine.
    queries: list[tuple[RunState, Action]] = field(default_factory=list)
    # Runs whose inboxes were filled.
    told: set[str] = field(default_factory=set)
    # Runs and steps that released permits.
    released: list[Holder] = field(default_factory=list)
    # Runs with an effect that could not be built.
    faulted: dict[str, Fault] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Watch:
    """The books of a partition's leases and timers."""

    leases: LeaseBook
    timers: Timers
    # Makes the lease tokens of revokes.
    proofs: LeaseProofs


def effects_of(turn: Turn, watch: Watch, *, partition: int, epoch: int, now: float) -> Effects:
    """Return the effects of the turn's actions, and update the books (`now` in monotonic seconds)."""
    effects = Effects(released=turn.atomic_effects.released)
    effects.told |= {run.run_id for run in turn.atomic_effects.new_runs}
    effects.told |= {message.run_id for message in turn.atomic_effects.messages}
    letting = _Letting(effects=effects, watch=watch, partition=partition, epoch=epoch, now=now)
    for state, action in turn.actions:
        if state.run_id in effects.faulted:
            continue
        try:
            letting.out(state, action)
        except Exception as error:
            effects.faulted[state.run_id] = note_fault(
                "its requests were made", error, run=state.run_id
            )
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
    # Steps that should have renewed a chain and have ended in the same turn, and those after them, by run and path: the next one
    # that is at work renews it.
    passed: set[tuple[str, str]] = field(default_factory=set)

    def out(self, state: RunState, action: Action) -> None:
        """Handle one action."""
        watch = self.watch
        match action:
            case RequestStep(path=path):
                self._request(state, path)
            case EndStep():
                _end(self.effects, watch, state, action)
            case RevokeLease(incarnation=incarnation):
                command = self._command(requests.revoke, state, incarnation, action)
                # A runner that does not have the lease any more reports its end all the same.
                watch.proofs.prove(command.revoke.key, state.tenant, incarnation)
            case EndChain(incarnation=incarnation):
                self._command(requests.end_chain, state, incarnation, action)
            case WatchRetry(issue=issue, due_us=due_us):
                watch.timers.set(due_us, state.run_id, RetryDue(issue=issue))
            case WatchAttempt():
                _watch_attempt(watch, state, action, self.now)
            case WatchTime(timer=timer, path=path, due_us=due_us):
                watch.timers.set(due_us, state.run_id, Due(timer=timer, path=path, due_us=due_us))
            case GrantLease(incarnation=incarnation):
                self._command(requests.grant, state, incarnation, action)
            case SignalHolder(incarnation=incarnation):
                self._command(requests.signal, state, incarnation, action)
            case _:
                self.effects.queries.append((state, action))

    def _request(self, state: RunState, path: str) -> None:
        step = state.steps.get(path)
        # A later decision of the same turn may have changed the step.
        if step is None:
            return
        if step.status in t.AT_WORK:
            # By succession: its start came with the success before it.
            self.effects.held[requests.pool_of(step)].append(self._held(state, step))
        elif step.status == t.SUCCEEDED:
            if self._renews(state, step):
                self.passed.add((state.run_id, path))
        elif step.status == t.READY:
            request = requests.step_request(state, step, partition=self.partition, epoch=self.epoch)
            self.effects.requests[request.pool].append(request)

    def _held(self, state: RunState, step: StepState) -> step_pb2.StepHeld:
        if state.halted or not self._renews(state, step):
            return requests.held_step(state, step)
        return requests.held_with_further(state, step, partition=self.partition, epoch=self.epoch)

    def _renews(self, state: RunState, step: StepState) -> bool:
        """Tell whether a step that began by succession lets its chain go on."""
        leader = leader_of(step)
        if leader is not None and (state.run_id, leader.path) in self.passed:
            return True
        return is_renewal_due(step)

    def _command(
        self,
        make: Callable[..., runner_pb2.RunnerCommand],
        state: RunState,
        incarnation: str,
        action: Action,
    ) -> runner_pb2.RunnerCommand:
        command = make(state.run_id, action, partition=self.partition, epoch=self.epoch)
        self.effects.commands[incarnation].append(command)
        return command


def _end(effects: Effects, watch: Watch, state: RunState, action: EndStep) -> None:
    issue = action.issue
    pool = requests.pool_at(state, issue.path)
    effects.ended[pool].append(step_pb2.StepEnded(key=requests.key_of(state.run_id, issue)))
    watch.leases.end(LeaseId(run_id=state.run_id, issue=issue))


def _watch_attempt(watch: Watch, state: RunState, action: WatchAttempt, now: float) -> None:
    issue = action.issue
    step = state.steps.get(issue.path)
    if step is None:
        return
    if step.is_newest(issue) and step.status in t.HELD:
        watch.leases.hold(LeaseId(run_id=state.run_id, issue=issue), now)
    if action.timeout_us:
        message = AttemptTimedOut(issue=issue)
        watch.timers.set(action.timeout_us + TIMEOUT_GRACE_US, state.run_id, message)
