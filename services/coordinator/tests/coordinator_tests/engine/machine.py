"""Plays everything around one run at random: runners, storage, children, people and time, from one seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kaon_coordinator.engine import actions as a
from kaon_coordinator.engine import messages as m
from kaon_coordinator.engine.commands.fork import fork_state
from kaon_coordinator.engine.decide import decide, submit
from kaon_coordinator.engine.decision import Context, Decision
from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.rows.codec import (
    facts,
    restore,
    run_row,
    take_block_rows,
    take_dropped,
    take_step_rows,
)
from kaon_coordinator.engine.rows.resume import derive
from kaon_coordinator.engine.rows.rows import BlockRow, StepRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.evolve import evolve
from kaon_coordinator.engine.state.state import RunState, StepState
from kaon_coordinator.engine.steps.leases import lease_of, revoke_unless_current
from kaon_coordinator.expressions import evaluate
from kaon_wire import canonical
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

# The share of nodes whose expressions wait for a later turn.
DEFERRED = 0.05
# Payloads that gates with these conditions take; others take 1.
_TAKEN = {"payload == 2": "2", "payload.day == 1": '{"day":1}'}
LIMITS = Limits(cells_per_turn=2, inline_input_bytes=40, exclusive_wait_us=2_000_000)


class Turn:
    """A meter of a turn whose time for expressions is sometimes over."""

    def __init__(self, chance: random.Random) -> None:
        self._random = chance

    @property
    def spent(self) -> bool:
        return self._random.random() < DEFERRED

    def begin_node(self) -> None: ...


@dataclass
class Machine:
    """One run and its surroundings. `step()` lets one thing happen; `history`, rows and state are compared by `check()`."""

    definition: d.WorkflowDefinition
    seed: int
    # What happens to messages of the surroundings: the share that is doubled, or lost and derived again.
    trouble: float = 0.1
    # A fork: what happened in its original before, and which places begin anew.
    original: Sequence[history_pb2.HistoryEvent] = ()
    reset: Sequence[str] = ()
    # The version of the original, when the fork's is another one; then what had failed begins anew, too.
    old: d.WorkflowDefinition | None = None
    # Steps of a foreach that may wait for runners; 0: drawn from the seed, mostly a few.
    waiting_steps: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        drawn = random.Random(f"waiting {self.seed}").choice((1, 2, 3, 5, 1_000))
        self.limits = replace(LIMITS, waiting_steps=self.waiting_steps or drawn)
        self.turn = Turn(random.Random(f"turn {self.seed}"))
        self.workflow = compile_workflow(self.definition, "v1" if self.old is None else "v2")
        self.history: list[history_pb2.HistoryEvent] = []
        self.state = self.replayed()
        self.steps: dict[str, StepRow] = {}
        self.blocks: dict[str, BlockRow] = {}
        self.now_us = 1_000_000
        # What waits to happen: messages without a time, and (due, message).
        self.soon: list[m.Message] = []
        self.timed: list[tuple[int, m.Message]] = []
        self.requested: list[str] = []
        self.holds: set[str] = set()
        self.granted: set[tuple[str, int]] = set()
        self.begun: list[tuple[str, int]] = []
        # Children that have not ended, all that there were with their blocks, and when each was asked to go on.
        self.children: dict[str, str] = {}
        self.places: dict[str, str] = {}
        self.asked: dict[str, int] = {}
        submitted = history_pb2.RunSubmitted(workflow="test", tenant="default", submitter="me")
        if self.original:
            fork = history_pb2.RunFork(
                run_id="r0",
                seq=len(self.original),
                reset=self.reset,
                failed=self.old is not None,
            )
            submitted.fork.CopyFrom(fork)
        self.absorb(submit(self.state, submitted=submitted, context=self.context()))
        self.soon.append(m.Start())

    def context(self) -> Context:
        self.now_us += 1
        return Context(
            now_us=self.now_us,
            evaluate=evaluate,
            limits=self.limits,
            meter=self.turn,
            random=self.random.random,
        )

    def tell(self, message: m.Message) -> Decision:
        return self.absorb(decide(self.state, message, self.context()))

    def absorb(self, decision: Decision) -> Decision:
        self.history += decision.events
        self.write_rows()
        for action in decision.actions:
            self.do(action)
        return decision

    def write_rows(self) -> None:
        for path in take_dropped(self.state):
            self.steps.pop(path, None)
            self.blocks.pop(path, None)
        self.steps.update((row.path, row) for row in take_step_rows(self.state))
        self.blocks.update((row.path, row) for row in take_block_rows(self.state))

    # --- the surroundings ---------------------------------------------------------------------------------------

    def do(self, action: a.Action) -> None:
        handler = _DO.get(type(action))
        if handler is not None:
            handler(self, action)

    def later(self, message: m.Message) -> None:
        self.soon.append(message)
        if self.random.random() < self.trouble:
            self.soon.append(message)

    def request(self, action: a.RequestStep) -> None:
        if action.path not in self.requested:
            self.requested.append(action.path)

    def release(self, action: a.ReleasePermits) -> None:
        self.holds -= {path for path in self.holds if action.path in ("", path)}

    def take_permits(self, action: a.TakePermits) -> None:
        if not self.state.ended:
            self.holds.add(action.path)
            self.later(m.PermitsGranted(path=action.path, asked=action.asked))

    def memo(self, action: a.LookUpMemo) -> None:
        if self.random.random() < 0.5:
            self.later(m.MemoMissed(path=action.path, asked=action.asked, key=action.key))
            return
        found = m.MemoFound(
            path=action.path,
            asked=action.asked,
            key=action.key,
            outputs={"result" if action.path in self.state.blocks else "out": "7"},
            run_id="r0",
            source_path="s",
        )
        self.later(found)

    def manifests(self, action: a.WriteManifests) -> None:
        kept = dict.fromkeys(action.values, '{"artifact":{"uri":"file:///m"}}')
        self.later(m.ManifestsWritten(path=action.path, asked=action.asked, inputs=kept))

    def items(self, action: a.ReadItems) -> None:
        if self.random.random() < 0.05:
            self.later(
                m.Unprepared(
                    path=action.path, asked=action.asked, kind="Platform", problem="storage is away"
                )
            )
            return
        count = int(canonical.loads(action.artifact_json)["artifact"]["digest"].split(":")[1])
        self.later(
            m.ItemsRead(
                path=action.path,
                asked=action.asked,
                items=tuple(str(index) for index in range(count)),
            )
        )

    def child(self, action: a.PrepareChild) -> None:
        if self.random.random() < 0.1:
            self.later(
                m.Unprepared(
                    path=action.path,
                    asked=action.asked,
                    kind="BindingError",
                    problem="no such workflow",
                )
            )
            return
        goes_on = action.continues in self.places and self.random.random() < 0.8
        # A fork draws what its original drew, and its children are others.
        new = f"{'f' if self.original else 'c'}{len(self.children)}-{self.random.random()}"
        run_id = action.continues if goes_on else new
        prepared = m.ChildPrepared(
            path=action.path,
            asked=action.asked,
            child_run_id=run_id,
            workflow="other",
            version="v1",
            params={},
        )
        self.later(prepared)

    def await_run(self, action: a.AwaitRun) -> None:
        """Perhaps there is such a run already, perhaps it never comes."""
        draw = self.random.random()
        if draw < 0.5:
            self.later(self.found(action.path, action.awaited))
        elif not action.waits:
            self.later(m.RunMissing(path=action.path, awaited=action.awaited))

    def found(self, path: str, awaited: history_pb2.AwaitedRun) -> m.RunFound:
        outputs = {} if self.random.random() < 0.1 else {"payload": "1"}
        return m.RunFound(path=path, awaited=awaited, run_id="r0", outputs=outputs)

    def submit_child(self, action: a.SubmitChild) -> None:
        assert action.child_run_id not in self.children
        if action.detached:
            return
        self.children[action.child_run_id] = self.places[action.child_run_id] = action.path

    def tell_child(self, action: a.TellRun) -> None:
        if action.command.HasField("retry"):
            self.go_on(action.run_id, action.command.retry.asked)
        elif action.command.HasField("cancel") and action.run_id in self.children:
            self.end_child(action.run_id, t.CANCELLED)

    def go_on(self, run_id: str, asked: int) -> None:
        """A child is to go on; perhaps somebody has made it succeed meanwhile. Asked again for the same, it changes nothing."""
        if run_id in self.children:
            assert self.asked[run_id] == asked
            return
        self.children[run_id] = self.places[run_id]
        if self.random.random() < self.trouble:
            self.later(self.end_of(run_id, t.FAILED))
        self.asked[run_id] = asked
        if self.random.random() < 0.2:
            self.end_child(run_id, t.SUCCEEDED)

    def end_child(self, run_id: str, status: t.Status) -> None:
        del self.children[run_id]
        self.later(self.end_of(run_id, status))

    def end_of(self, run_id: str, status: t.Status) -> m.ChildEnded:
        outputs = {"result": "1"} if status == t.SUCCEEDED else {}
        path, asked = self.places[run_id], self.asked.get(run_id, 0)
        return m.ChildEnded(
            path=path, child_run_id=run_id, status=status, outputs=outputs, asked=asked
        )

    def watch_retry(self, action: a.WatchRetry) -> None:
        self.timed.append((action.due_us, m.RetryDue(issue=action.issue)))

    def watch_attempt(self, action: a.WatchAttempt) -> None:
        if action.timeout_us:
            message = m.AttemptTimedOut(issue=action.issue)
            self.timed.append((action.timeout_us, message))

    def watch_time(self, action: a.WatchTime) -> None:
        message = m.Due(timer=action.timer, path=action.path, due_us=action.due_us)
        self.timed.append((action.due_us, message))

    def revoked(self, action: a.RevokeLease) -> None:
        if action.reason != a.RevokeReason.STALE_LEASE:
            lease = m.Lease(
                issue=action.issue,
                runner_id=action.incarnation,
                incarnation=action.incarnation,
            )
            self.later(m.Stopped(lease=lease))

    def end_chain(self, action: a.EndChain) -> None:
        assert self.state.steps[action.issue.path].incarnation == action.incarnation

    def grant(self, action: a.GrantLease) -> None:
        self.granted.add((action.issue.path, action.issue.generation))

    def carry_on(self, action: a.Continue) -> None:
        self.later(m.Continued(path=action.path))

    # --- what happens -------------------------------------------------------------------------------------------

    def happen(self) -> bool:
        """Lets one thing happen; False when nothing is left."""
        choices: list[Callable[[], object]] = []
        if self.soon:
            choices.append(self._soon)
        if self.requested:
            choices.append(self._start)
        if running := [step for step in self.state.steps.values() if step.status in t.AT_WORK]:
            choices.append(lambda: self._report(self.random.choice(running)))
        if self.children:
            choices.append(self._child_ends)
        if not choices or self.random.random() < 0.2:
            if self.timed:
                choices = [self._time]
            elif self.state.gates:
                choices = [self._answer]
            elif self.state.breakpoints:
                choices = [self._pass]
        if not choices:
            return False
        self.random.choice(choices)()
        return True

    def _soon(self) -> None:
        self.tell(self.soon.pop(self.random.randrange(len(self.soon))))

    def _time(self) -> None:
        self.timed.sort(key=lambda each: each[0])
        due_us, message = self.timed.pop(0)
        self.now_us = max(self.now_us, due_us)
        self.tell(message)

    def _start(self) -> None:
        path = self.requested.pop(self.random.randrange(len(self.requested)))
        step = self.state.steps.get(path)
        if step is None or step.status != t.READY:
            return
        runner = self.random.choice("abc")
        lease = m.Lease(
            issue=step.issue,
            runner_id=runner,
            incarnation=runner,
        )
        if self.random.random() < self.trouble:
            self.tell(m.HandedBack(lease=lease, reason="full"))
            return
        assert (path, step.generation) not in self.begun
        self.begun.append((path, step.generation))
        self.tell(m.Started(lease=lease))

    def _report(self, step: StepState) -> None:
        lease, chance = lease_of(step), self.random.random()
        if chance < 0.2:
            metric = step_pb2.StepMetric(name="loss", value=self.random.random())
            self.tell(m.Reported(lease=lease, metric=metric))
        elif chance < 0.3:
            self.tell(m.LeaseExpired(issue=step.issue))
            self.tell(m.Succeeded(lease=lease, outputs={"out": "0"}))
        elif chance < 0.5:
            error = step_pb2.StepError(
                error_class=step_pb2.ERROR_CLASS_USER,
                type="ValueError",
                message="no",
                exit_code=len(step.path) % 3,
            )
            self.tell(m.Failed(lease=lease, error=error))
        else:
            value = self.random.choice((True, False, 1, [1, 2, 3], "x" * 60))
            if step.spec.serves and (step.status == t.RUNNING or value is not True):
                # Once it serves, it seldom ends by itself.
                self.tell(m.Serves(lease=lease, outputs={"out": canonical.dumps(value)}))
                return
            self.later(m.Succeeded(lease=lease, outputs={"out": canonical.dumps(value)}))

    def _child_ends(self) -> None:
        run_id = self.random.choice(sorted(self.children))
        self.end_child(
            run_id, self.random.choice((t.SUCCEEDED, t.SUCCEEDED, t.FAILED, t.CANCELLED))
        )

    def _answer(self) -> None:
        gate = self.random.choice(sorted(self.state.gates.values(), key=lambda each: each.path))
        if gate.block.gate.HasField("approval"):
            roles = frozenset({"lead"})
            yes = self.random.random() < 0.7
            self.tell(
                m.Answer(path=gate.path, approved=yes, comment="", requester="me", roles=roles)
            )
        elif gate.block.gate.HasField("signal"):
            wanted = gate.block.gate.signal
            payload = _TAKEN.get(wanted.where_cel, "1")
            self.tell(m.Signal(name=wanted.name, payload_json=payload, requester="me"))
        elif gate.awaited is not None:
            self.tell(self.found(gate.path, gate.awaited))

    def _pass(self) -> None:
        held = [step.path for step in self.state.steps.values() if step.held]
        step = self.random.choice([*sorted(self.state.breakpoints), *held])
        self.tell(m.PassBreakpoint(step=step, reason="why", requester="me"))

    def command(self) -> None:
        """Somebody asks for something, sensible or not."""
        places = sorted(
            [*self.state.steps, *self.state.blocks, *(key for key in self.state.scopes if key)]
        )
        path = self.random.choice(places) if places else ""
        by: dict[str, Any] = {"reason": "why", "requester": "me"}
        running = [step.path for step in self.state.steps.values() if step.status in t.AT_WORK] or [
            path
        ]
        status = self.random.choice((t.SUCCEEDED, t.FAILED, t.SKIPPED))
        commands: list[m.Message] = [
            m.Cancel(path=path, skip=self.random.random() < 0.5, **by),
            m.Cancel(path="" if self.random.random() < 0.2 else path, **by),
            m.Pause(**by),
            m.Resume(**by),
            m.Resume(**by),
            m.Retry(path=self.random.choice(("", path)), **by),
            m.Restart(path=path, **by),
            m.Mark(path=path, status=status, outputs={"out": "1"}, **by),
            m.SetPriority(priority=self.random.randint(0, 3), requester="me"),
            m.Signal(name="go", payload_json="1", requester="me", to_all=len(path) % 2 == 0),
            m.Signal(name="go", payload_json="1", requester="me", path=self.random.choice(running)),
            m.Signal(name="", payload_json="1", requester="me"),
            m.Cancel(force=True, **by) if self.random.random() < 0.1 else m.Resume(**by),
            m.Answer(path=path, approved=True, comment="", requester="me"),
            m.Continued(path=path),
            m.SetBreakpoint(step=self.random.choice((path, path.rsplit("/", 1)[-1])), **by),
            *(m.PassBreakpoint(step=each, **by) for each in sorted(self.state.breakpoints)),
        ]
        self.tell(self.random.choice(commands))

    def crash(self) -> None:
        """The owner dies: what it had in memory, and everything that it had been asked to do, is gone."""
        self.soon = [
            each
            for each in self.soon
            if isinstance(each, m.Start | m.Succeeded | m.ChildEnded | m.Stopped)
        ]
        self.timed, self.requested = [], []
        self.begun = [each for each in self.begun if self._held(each)]
        self.state = self.restored()
        for action in derive(self.state, now_us=self.now_us, limits=self.limits):
            self.do(action)

    def _held(self, begun: tuple[str, int]) -> bool:
        step = self.state.steps.get(begun[0])
        return step is not None and step.generation == begun[1] and step.status != t.READY

    def renew(self) -> None:
        """Every runner renews what it holds."""
        for step in list(self.state.steps.values()):
            if step.status in t.HELD:
                decision = Decision(state=self.state, context=self.context())
                assert revoke_unless_current(decision, lease_of(step), queued=False)
                self.absorb(decision)

    # --- checks -------------------------------------------------------------------------------------------------

    def replayed(self, events: int | None = None) -> RunState:
        old = self.workflow if self.old is None else compile_workflow(self.old, "v1")
        state = RunState(run_id="r1", workflow=old)
        for event in self.original:
            evolve(state, event)
        if self.original:
            state = fork_state(state, "r1", self.workflow)
        for event in self.history[:events]:
            evolve(state, event)
        return state

    def restored(self) -> RunState:
        return restore(
            workflow=self.workflow,
            run=run_row(self.state),
            tenant=self.state.tenant,
            submitter=self.state.submitter,
            params={},
            steps=self.steps.values(),
            blocks=self.blocks.values(),
            fork_run_id=self.state.fork_run_id,
            fork_seq=self.state.fork_seq,
        )

    def check(self) -> None:
        expected = list(facts(self.state))
        assert list(facts(self.restored())) == expected
        assert list(facts(self.replayed())) == expected
        if self.state.ended and not self.soon:
            assert not self.holds
            assert not self.children
        for scope in self.state.scopes.values():
            if scope.status == t.RUNNING and scope.nodes:
                assert scope.active >= 0
                assert scope.remaining >= 0

    def told(self) -> str:
        return "\n".join(
            f"{e.seq} {e.WhichOneof('event')} {str(e).splitlines()[3:]}" for e in self.history
        )

    def status(self) -> str:
        return run_pb2.Status.Name(self.state.status)


_DO: dict[type, Callable[[Machine, Any], None]] = {
    a.RequestStep: Machine.request,
    a.ReleasePermits: Machine.release,
    a.TakePermits: Machine.take_permits,
    a.LookUpMemo: Machine.memo,
    a.WriteManifests: Machine.manifests,
    a.ReadItems: Machine.items,
    a.PrepareChild: Machine.child,
    a.AwaitRun: Machine.await_run,
    a.SubmitChild: Machine.submit_child,
    a.TellRun: Machine.tell_child,
    a.WatchRetry: Machine.watch_retry,
    a.WatchAttempt: Machine.watch_attempt,
    a.WatchTime: Machine.watch_time,
    a.RevokeLease: Machine.revoked,
    a.GrantLease: Machine.grant,
    a.EndChain: Machine.end_chain,
    a.Continue: Machine.carry_on,
}
