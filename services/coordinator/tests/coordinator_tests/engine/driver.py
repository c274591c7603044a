"""Plays the shell and the runners for an engine under test: no transport, no store, no clock but its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from kaon_coordinator.engine.actions import (
    Action,
    Continue,
    RequestStep,
    RevokeLease,
    Timer,
    WatchRetry,
    WatchTime,
)
from kaon_coordinator.engine.decide import decide, submit
from kaon_coordinator.engine.decision import Context, Decision
from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.messages import (
    Continued,
    Due,
    Failed,
    Lease,
    Message,
    RetryDue,
    Serves,
    Start,
    Started,
    Stopped,
    Succeeded,
)
from kaon_coordinator.engine.rows.codec import (
    digest,
    restore,
    run_row,
    take_block_rows,
    take_dropped,
    take_step_rows,
)
from kaon_coordinator.engine.rows.rows import BlockRow, StepRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.evolve import evolve
from kaon_coordinator.engine.state.state import RunState, StepState, Transient
from kaon_wire import canonical
from kaon_wire.definitions.validate import validate
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

A = TypeVar("A")

# What a step answers: its outputs, or an error.
Behaviour = Callable[[StepState], Mapping[str, object] | step_pb2.StepError]


def no_expressions(cel: str, variables: Mapping[str, object]) -> object:
    raise AssertionError(f"unexpected expression {cel!r} over {variables}")


@dataclass
class Driver:
    """Runs one workflow to its end."""

    definition: d.WorkflowDefinition
    behaviour: Behaviour
    params: Mapping[str, object] = field(default_factory=dict)
    seed: int = 0
    evaluate: Callable[[str, Mapping[str, object]], object] = no_expressions
    run_id: str = "r1"
    # What the first event has besides.
    submission: history_pb2.RunSubmitted = field(default_factory=history_pb2.RunSubmitted)
    refusal: Callable[[str, int, d.Step], str] = field(default=lambda tenant, priority, step: "")

    def __post_init__(self) -> None:
        assert validate(self.definition) == []
        self.state = self.fresh()
        self.history: list[history_pb2.HistoryEvent] = []
        self.requested: list[str] = []
        self.retries: list[WatchRetry] = []
        self.revoked: list[RevokeLease] = []
        # Times that are watched, and everything that was asked for.
        self.watched: list[WatchTime] = []
        self.actions: list[Action] = []
        self.now_us = 1_000_000
        self.limits = Limits()
        self.rows: dict[str, StepRow | BlockRow] = {}
        self.random = random.Random(self.seed)
        submitted = history_pb2.RunSubmitted(
            workflow=self.definition.name,
            params_json={name: canonical.dumps(value) for name, value in self.params.items()},
        )
        submitted.MergeFrom(self.submission)
        self.absorb(submit(self.state, submitted=submitted, context=self.context()))

    def fresh(self) -> RunState:
        return RunState(run_id=self.run_id, workflow=compile_workflow(self.definition, "v1"))

    def context(self) -> Context:
        self.now_us += 1
        return Context(
            now_us=self.now_us,
            evaluate=self.evaluate,
            limits=self.limits,
            random=self.random.random,
            refusal=self.refusal,
        )

    def tell(self, message: Message) -> Decision:
        return self.absorb(decide(self.state, message, self.context()))

    def absorb(self, decision: Decision) -> Decision:
        self.history += decision.events
        self.actions += decision.actions
        for action in decision.actions:
            match action:
                case RequestStep():
                    self.requested.append(action.path)
                case WatchRetry():
                    self.retries.append(action)
                case RevokeLease():
                    self.revoked.append(action)
                case WatchTime():
                    self.watched.append(action)
                case Continue():
                    self.tell(Continued(path=action.path))
        return decision

    def question(self, path: str) -> int:
        """The token of what the step or block at this path (or the run, with an empty path) has asked for."""
        preparation = self.state.transient.preparing.get(path)
        return self.state.seq if preparation is None else preparation.asked

    def asked(self, kind: type[A]) -> list[A]:
        """Everything of one kind that was asked for since this was asked last."""
        found = [action for action in self.actions if isinstance(action, kind)]
        self.actions = [action for action in self.actions if not isinstance(action, kind)]
        return found

    def let_time_pass(self, timer: Timer, path: str = "") -> Decision:
        """The newest time that is watched for this comes."""
        watch = [each for each in self.watched if (each.timer, each.path) == (timer, path)][-1]
        self.watched.remove(watch)
        self.now_us = max(self.now_us, watch.due_us)
        return self.tell(Due(timer=timer, path=path, due_us=watch.due_us))

    def lease(self, path: str, runner: str = "a") -> Lease:
        return Lease(issue=self.state.steps[path].issue, runner_id=runner, incarnation=runner)

    def take(self) -> str:
        return self.requested.pop(self.random.randrange(len(self.requested)))

    def execute(self, path: str) -> None:
        lease = self.lease(path)
        self.tell(Started(lease=lease))
        answer = self.behaviour(self.state.steps[path])
        if isinstance(answer, step_pb2.StepError):
            self.tell(Failed(lease=lease, error=answer))
        else:
            outputs = {name: canonical.dumps(value) for name, value in answer.items()}
            serves = self.state.steps[path].spec.serves
            self.tell((Serves if serves else Succeeded)(lease=lease, outputs=outputs))

    def run(self) -> RunState:
        self.tell(Start())
        self.drain()
        return self.state

    def drain(self) -> None:
        """Executes what is requested, lets time pass for retries and iterations and answers revokes, until nothing is left."""
        while self.requested or self.retries or self.revoked or self._iterations():
            if self.requested:
                path = self.take()
                if self.state.steps[path].status == t.READY:
                    self.execute(path)
            elif self.revoked:
                revoke = self.revoked.pop()
                self.tell(Stopped(lease=self.lease(revoke.issue.path)))
            elif iterations := self._iterations():
                self.let_time_pass(Timer.ITERATION, iterations[0].path)
            else:
                retry = self.retries.pop()
                self.now_us = max(self.now_us, retry.due_us)
                self.tell(RetryDue(issue=retry.issue))

    def _iterations(self) -> list[WatchTime]:
        return [each for each in self.watched if each.timer == Timer.ITERATION]

    def replayed(self, events: int | None = None) -> RunState:
        state = self.fresh()
        for event in self.history[:events]:
            evolve(state, event)
        return state

    def take_over(self) -> None:
        """Another owner makes the state anew from the rows, which must give the same."""
        state = self.state
        for path in take_dropped(state):
            self.rows.pop(path, None)
        self.rows.update(
            (row.path, row) for row in [*take_step_rows(state), *take_block_rows(state)]
        )
        self.state = restore(
            workflow=state.workflow,
            run=run_row(state),
            tenant=state.tenant,
            submitter=state.submitter,
            params=state.params,
            steps=[row for row in self.rows.values() if isinstance(row, StepRow)],
            blocks=[row for row in self.rows.values() if isinstance(row, BlockRow)],
            fork_run_id=state.fork_run_id,
            fork_seq=state.fork_seq,
            origin=state.origin,
        )
        assert digest(self.state) == digest(state)
        # What is beside the state is the old owner's alone.
        assert self.state.transient == Transient()

    def check_replay(self) -> None:
        assert digest(self.replayed()) == digest(self.state)

    def check_replay_over(self, beginning: RunState) -> None:
        """Whether the history over the beginning of a fork gives its state."""
        for event in self.history:
            evolve(beginning, event)
        assert digest(beginning) == digest(self.state)


def failure(message: str = "boom", *, platform: bool = False) -> step_pb2.StepError:
    kind = step_pb2.ERROR_CLASS_PLATFORM if platform else step_pb2.ERROR_CLASS_USER
    return step_pb2.StepError(error_class=kind, type="Test", message=message)
