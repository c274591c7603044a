"""What must always hold, checked at every commit, at every record and at the end of a run.

The checks keep a state of their own for every run, folded from nothing but the events that were committed. Each commit must bring
exactly the rows that this state has, so rows and history agree at every moment, and only what has changed is looked at.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kaon_coordinator import replay
from kaon_coordinator.engine.decision import ENGINE_FAULT, Decision
from kaon_coordinator.engine.definition.compiled import CompiledWorkflow, compile_workflow
from kaon_coordinator.engine.kinds.subworkflows import CHILD_FAILED
from kaon_coordinator.engine.rows.codec import (
    digest,
    restore,
    run_row,
    take_block_rows,
    take_dropped,
    take_step_rows,
)
from kaon_coordinator.engine.scopes.locks import PREFIX as LOCK
from kaon_coordinator.engine.scopes.readiness import ending
from kaon_coordinator.engine.scopes.run_permits import permit_keys
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.evolve import evolve
from kaon_coordinator.engine.state.state import RunState, StepState
from kaon_coordinator.notifications.notices import notices_of
from kaon_coordinator.schedules import due, times
from kaon_coordinator.schedules.schedule_state import ScheduleState
from kaon_coordinator.shell.dataset_updates import updates_of
from kaon_coordinator.shell.partition import NO_CONTEXT
from kaon_coordinator.store.base import (
    DatasetUpdate,
    Holder,
    LoadedRun,
    NewRun,
    Notice,
    PartitionBatch,
    PermitWish,
    RunRecord,
    ScheduleRecord,
    Snapshot,
)
from kaon_coordinator.store.records import PermitAnswer
from kaon_runner.execution.surroundings import Stop
from kaon_runner.leases.table import Phase
from kaon_runner.runner import Runner
from kaon_wire import canonical, topics
from kaon_wire.errors import Conflict
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.schedule.v1 import schedule_pb2 as s
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .broker import Broker, Written
from .forger import TRACE
from .memory_store import MemoryStore
from .poison import Poison
from .runners import Played, Witness
from .workflows import TENANT

# One run, one step of it.
_Place = tuple[str, str]


class Violation(AssertionError):
    """A guarantee does not hold."""

    def __init__(self, guarantee: str, text: str) -> None:
        super().__init__(guarantee, text)
        self.guarantee = guarantee
        self.text = text

    def __str__(self) -> str:
        return f"{self.guarantee}: {self.text}"


@dataclass(kw_only=True)
class _Said:
    """What a runner has said about one lease: (offset, time) in the order of the partition."""

    records: list[tuple[int, float]] = field(default_factory=list)


class CheckedStore(MemoryStore):
    """A store whose every write is looked at."""

    def __init__(self, poison: Poison) -> None:
        super().__init__()
        self.poison = poison
        self.checks: Checks | None = None

    def commit_all(self, batches: Sequence[PartitionBatch]) -> frozenset[int]:
        self.poison.refuse({event.run_id for batch in batches for event in batch.history})
        return super().commit_all(batches)  # type: ignore[no-any-return]

    def _write(self, batch: PartitionBatch) -> None:
        super()._write(batch)
        if self.checks is not None:
            self.checks.committed(batch)

    def _submit(self, run: NewRun) -> tuple[RunRecord, bool] | Conflict:
        answer = super()._submit(run)
        if self.checks is not None:
            self.checks.submitted(run)
        return answer

    def _begin(self, run: NewRun) -> None:
        super()._begin(run)
        if self.checks is not None:
            self.checks.submitted(run)

    def take_permits(
        self, partition: int, epoch: int, wishes: Any, now_us: int
    ) -> list[PermitAnswer]:
        answers = super().take_permits(partition, epoch, wishes, now_us)
        if self.checks is not None:
            self.checks.permitted(wishes, answers)
        return answers


class Checks(Witness):
    """Follows everything that becomes durable, is published, or really runs.

    Args:
        store: the truth.
        broker: what was said.
        now: seconds of the world's time.
        lease_seconds: how long a runner may be silent.
        chance: draws samples.
        tell: hears of every committed event, in words.
    """

    def __init__(
        self,
        store: CheckedStore,
        broker: Broker,
        *,
        now: Callable[[], float],
        lease_seconds: float,
        chance: random.Random,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._store = store
        self._tell = tell
        self._broker = broker
        self._now = now
        self._lease_seconds = lease_seconds
        self._random = chance
        self.states: dict[str, RunState] = {}
        self.violation: Violation | None = None
        self.events = 0
        self.unended: set[str] = set()
        self._compiled: dict[tuple[str, str, str], CompiledWorkflow] = {}
        self._generations: dict[_Place, int] = {}
        # Digests at some places of a history: (run, seq).
        self._samples: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self._published: dict[str, int] = defaultdict(int)
        self._said: dict[tuple[str, str, int, str], _Said] = defaultdict(_Said)
        # By owner: token, offset and time of its last barrier in each partition.
        self._barriers: dict[tuple[int, str], tuple[str, int, float]] = {}
        # The bounds with which permits were granted, by tenant, key and holder.
        self._granted: dict[tuple[str, str, Holder], int] = {}
        # Who gives permits back in the batch that is looked at.
        self._released: frozenset[Holder] = frozenset()
        # Steps that somebody has settled by hand, until they have ended.
        self._marked: set[_Place] = set()
        self._exclusive: dict[_Place, dict[int, tuple[Played, float]]] = defaultdict(dict)
        # By succession: starts that are durable together with the success before them, and the inputs with which executions
        # have begun. By run, path, generation and incarnation.
        self._successions: set[tuple[str, str, int, str]] = set()
        self._inputs: dict[tuple[str, str, int, str], dict[str, str]] = {}
        self._runners: dict[str, Runner] = {}
        # What was acknowledged: run by idempotency key.
        self.acknowledged: dict[str, str] = {}
        self.garbage: list[tuple[str, bytes]] = []
        # The schedule that a client has put, as it was put.
        self.scheduled: ScheduleRecord | None = None
        # Runs by idempotency key.
        self._by_key: dict[str, list[str]] = {}
        store.checks = self
        broker.watchers.append(self.written)

    def fail(self, guarantee: str, text: str) -> None:
        """Notes the first violation; the world stops at it."""
        if self.violation is None:
            self.violation = Violation(guarantee, f"{text} (at {self._now():.3f} s)")

    # --- the store ----------------------------------------------------------------------------------------------

    def submitted(self, run: NewRun) -> None:
        """I5: one run for each idempotency key."""
        if run.run_id in self._store.runs and run.run_id not in self.states:
            self.unended.add(run.run_id)
        if run.idempotency_key and run.run_id in self._store.runs:
            same = self._by_key.setdefault(run.idempotency_key, [])
            same.append(run.run_id)
            if len(set(same)) > 1:
                self.fail("I5", f"key {run.idempotency_key} has made several runs: {same}")
        if run.origin.startswith("schedule:") and run.run_id in self._store.runs:
            self._overlaps(run)

    def _overlaps(self, run: NewRun) -> None:
        """A schedule whose runs must not overlap submits only when the one before has ended."""
        assert self.scheduled is not None
        others = [
            kept.record.run_id
            for kept in self._store.runs.values()
            if kept.record.origin == run.origin
            and kept.record.run_id != run.run_id
            and not kept.ended
        ]
        alone = self.scheduled.definition.overlap in (s.OVERLAP_SKIP, s.OVERLAP_BUFFER)
        if alone and others:
            self.fail("overlap", f"{run.origin} has submitted {run.run_id} while {others} go on")

    @property
    def schedules_over(self) -> bool:
        """Whether nothing is left for the schedule to submit."""
        kept = self._store.list_schedules(TENANT) if self.scheduled is not None else []
        return all(each.next_us >= due.NEVER_US for each in kept)

    def _occasions(self) -> None:
        """Every time that must be made up for has given its run."""
        schedule = self.scheduled
        if schedule is None or not self.schedules_over:
            return
        definition = schedule.definition
        if (definition.overlap, definition.catch_up) != (s.OVERLAP_ALLOW, s.CATCH_UP_ALL):
            return
        begin_us = ScheduleState.from_json(schedule.state).last_us
        expected = {
            f"schedule:{schedule.name}:{schedule.create_us}:{each}"
            for each in times.after(definition, begin_us)
        }
        given = {key for key in self._by_key if key.startswith("schedule:")}
        if given != expected:
            self.fail(
                "schedules",
                f"missing {sorted(expected - given)}, too many {sorted(given - expected)}",
            )

    def acknowledge(self, key: str, run_id: str) -> None:
        """I1, I5: an acknowledged submission is stored, and always the same run."""
        first = self.acknowledged.setdefault(key, run_id)
        if first != run_id:
            self.fail("I5", f"key {key} was acknowledged as {first} and as {run_id}")
        if run_id not in self._store.runs:
            self.fail("I1", f"run {run_id} was acknowledged and is not stored")

    def committed(self, batch: PartitionBatch) -> None:
        """I3, I4: a commit of the current owner, whose rows are what its events say."""
        epoch, owner = self._store.epochs.get(batch.partition, (0, ""))
        if batch.epoch != epoch:
            self.fail(
                "I3",
                f"partition {batch.partition}: epoch {batch.epoch} was written, {epoch} is current",
            )
            return
        self._released = frozenset(batch.released)
        self._owed: list[Notice] = []
        self._updated: list[DatasetUpdate] = []
        try:
            for event in batch.history:
                self._fold(event, owner, batch.partition)
            self._compare(batch)
            if list(batch.notices) != self._owed:
                self.fail(
                    "I12", f"partition {batch.partition}: {batch.notices} are not {self._owed}"
                )
            if list(batch.dataset_updates) != self._updated:
                self.fail(
                    "I2",
                    f"partition {batch.partition}: {batch.dataset_updates} are not {self._updated}",
                )
        except Exception as error:
            self.fail("I4", f"partition {batch.partition}: {type(error).__name__}: {error}")

    def _fold(self, event: history_pb2.HistoryEvent, owner: str, partition: int) -> None:
        state = self.states.get(event.run_id)
        if state is None:
            run = self._store.runs[event.run_id].record
            state = self.states[event.run_id] = self._begin(run)
        if event.seq != state.seq + 1:
            self.fail("I4", f"run {event.run_id}: event {event.seq} follows {state.seq}")
            return
        self.events += 1
        if TRACE in event.SerializeToString():
            self.fail("I11", f"run {event.run_id}: a forged report became event {event.seq}")
        kind = event.WhichOneof("event")
        if self._tell is not None:
            what = " ".join(str(getattr(event, kind or "")).split())
            self._tell(f"{owner} p{partition} {event.run_id} {event.seq} {kind} {what[:200]}")
        look = _LOOKS.get(kind or "")
        if look is not None:
            look(self, state, event, owner, partition)
        evolve(state, event)
        self._owed += notices_of(state, [event])
        self._updated += updates_of(state, [event])

    def _workflow(self, tenant: str, name: str, version: str) -> CompiledWorkflow:
        key = (tenant, name, version)
        if key not in self._compiled:
            self._compiled[key] = compile_workflow(
                self._store.get_workflow(*key).definition, version
            )
        return self._compiled[key]

    def _begin(self, run: RunRecord) -> RunState:
        return replay.begin(self._store, run, self._workflow)

    def _restored(self, run: LoadedRun) -> RunState:
        return restore(
            workflow=self._workflow(run.tenant, run.workflow, run.version),
            run=run.row,
            tenant=run.tenant,
            submitter=run.submitter,
            params=run.params,
            steps=run.steps,
            blocks=run.blocks,
            parent_run_id=run.parent_run_id,
            fork_run_id=run.fork_run_id,
            fork_seq=run.fork_seq,
            origin=run.origin,
        )

    def _compare(self, batch: PartitionBatch) -> None:
        for row in batch.runs:
            state = self.states[row.run_id]
            if run_row(state) != row:
                self.fail(
                    "I4", f"row of run {row.run_id} is {row}, its history says {run_row(state)}"
                )
            self._same("dropped", row.run_id, take_dropped(state), batch.dropped)
            self._same("steps", row.run_id, take_step_rows(state), batch.steps)
            self._same("blocks", row.run_id, take_block_rows(state), batch.blocks)
            if state.ended:
                self.unended.discard(row.run_id)
            else:
                self.unended.add(row.run_id)
            if self._random.random() < 0.08 or (state.ended and self._random.random() < 0.5):
                self._sample(row.run_id, state)

    def _same(self, what: str, run_id: str, expected: list[Any], given: Any) -> None:
        if expected != list(given.get(run_id, ())):
            wrong = [each for each in [*expected, *given.get(run_id, ())] if each not in expected]
            missing = [each for each in expected if each not in given.get(run_id, ())]
            self.fail(
                "I4",
                f"run {run_id}: rows of {what} are not what its history says: {wrong}; missing {missing}",
            )

    def _sample(self, run_id: str, state: RunState) -> None:
        """Rows restore to the state that the history gives."""
        expected = digest(state)
        self._samples[run_id].append((state.seq, expected))
        run = self._store.load_run(run_id)
        self._store.put_snapshot(Snapshot(row=run.row, steps=run.steps, blocks=run.blocks))
        if digest(self._restored(run)) != expected:
            self.fail("I4", f"run {run_id} at event {state.seq}: the rows restore to another state")

    # --- single events ------------------------------------------------------------------------------------------

    def _ready(
        self, state: RunState, event: history_pb2.HistoryEvent, owner: str, partition: int
    ) -> None:
        """I2: generations are never used twice."""
        ready = event.step_became_ready
        place = (event.run_id, ready.path)
        if ready.generation <= self._generations.get(place, 0):
            self.fail("I2", f"{place}: generation {ready.generation} was used before")
        self._generations[place] = ready.generation

    def _leased(
        self, state: RunState, event: history_pb2.HistoryEvent, owner: str, partition: int
    ) -> None:
        """I2: a holder only where there is none."""
        leased = event.step_leased
        step = state.steps[leased.path]
        if step.status != t.READY or (leased.attempt, leased.generation) != (
            step.attempt,
            step.generation,
        ):
            self.fail(
                "I2",
                f"{leased.path}: leased as {leased.attempt}/{leased.generation}, it is {step.status}",
            )
        if leased.succession:
            declared = step.block.step
            if declared.exclusive or declared.tags or declared.memo.enabled:
                self.fail("succession", f"{leased.path} must be requested, and follows")
            place = (event.run_id, leased.path, leased.generation, leased.incarnation)
            self._compare_inputs(place, self._inputs.get(place), step.inputs)

    def _compare_inputs(
        self,
        place: tuple[str, str, int, str],
        begun: dict[str, str] | None,
        bound: Mapping[str, str],
    ) -> None:
        """A step that follows runs with the inputs that the engine has bound."""
        if begun is not None and begun != bound:
            self.fail("succession", f"{place} runs with {begun}, bound is {dict(bound)}")

    def _ended(
        self, state: RunState, event: history_pb2.HistoryEvent, owner: str, partition: int
    ) -> None:
        """I2: what is accepted is the holder's result, and nobody else's."""
        ended = event.step_ended
        step = state.steps[ended.path]
        if step.status in t.TERMINAL:
            self.fail("I2", f"{ended.path}: ended twice")
        if (event.run_id, ended.path) in self._marked:
            self._marked.discard((event.run_id, ended.path))
            return
        if ended.status != t.SUCCEEDED or "out" not in ended.outputs_json or ended.HasField("memo"):
            return
        if step.status not in t.HELD:
            return
        if step.block.step.outputs["out"] != d.VALUE_TYPE_ANY:
            return
        if step.block.step.serves:
            # The last attempt may end before it serves: what counts is what the step has served with.
            if ended.outputs_json["out"] != step.outputs.get("out"):
                self.fail("I2", f"{ended.path}: ended with outputs that it has not served with")
            return
        if (ended.attempt, ended.generation) != (step.attempt, step.generation):
            self.fail(
                "I2",
                f"{ended.path}: {ended.attempt}/{ended.generation} accepted, held is {step.generation}",
            )
        self._check_author(step, ended.outputs_json["out"])

    def _serving(
        self, state: RunState, event: history_pb2.HistoryEvent, owner: str, partition: int
    ) -> None:
        """I2: only the holder serves, and it serves with its own outputs."""
        serving = event.step_serving
        step = state.steps[serving.path]
        if step.status not in t.HELD or serving.attempt != step.attempt:
            self.fail(
                "I2", f"{serving.path}: attempt {serving.attempt} serves, it is {step.status}"
            )
        if step.block.step.outputs.get("out") == d.VALUE_TYPE_ANY:
            self._check_author(step, serving.outputs_json["out"])

    def _check_author(self, step: StepState, output: str) -> None:
        """I2: an output of the simulated runner names the incarnation that made it: the holder."""
        whose = canonical.loads(output)
        if whose != step.incarnation:
            self.fail(
                "I2",
                f"{step.path}: the result of {whose} was accepted, the holder is {step.incarnation}",
            )

    def _mark(
        self, state: RunState, event: history_pb2.HistoryEvent, owner: str, partition: int
    ) -> None:
        if event.block_marked.path in state.steps:
            self._marked.add((event.run_id, event.block_marked.path))

    def _lost(
        self, state: RunState, event: history_pb2.HistoryEvent, owner: str, partition: int
    ) -> None:
        """A lease ends only for silence: nothing that was said in time may lie unread."""
        lost = event.step_lease_lost
        if lost.reason != "expired":
            return
        said = self._said.get((event.run_id, lost.path, lost.generation, lost.incarnation))
        if said is None:
            return
        key = (topics.STEP_EVENTS, partition)
        barrier = self._barriers.get((partition, owner))
        offset, time = (
            (len(self._broker.logs[key]), self._now()) if barrier is None else barrier[1:]
        )
        heard = [when for where, when in said.records if where < offset]
        # Clocks run at slightly different rates.
        if heard and time - heard[-1] < self._lease_seconds * 0.97:
            self.fail(
                "I7",
                f"{lost.path}: generation {lost.generation} of {lost.incarnation} expired at {time:.3f} although it was renewed "
                f"at {heard[-1]:.3f}",
            )

    def _run_ended(
        self, state: RunState, event: history_pb2.HistoryEvent, owner: str, partition: int
    ) -> None:
        """I6: what was raised for one run ends no other."""
        error = event.run_ended.error
        if error.type == ENGINE_FAULT and event.run_id not in self._store.poison.raised:
            self.fail("I6", f"run {event.run_id} was ended for another's sake: {error.message}")

    # --- permits ------------------------------------------------------------------------------------------------

    def permitted(self, wishes: list[PermitWish], answers: list[PermitAnswer]) -> None:
        """Never more holders than the bound; for a lock, than the bound of any of its holders."""
        for wish, granted in zip(wishes, answers, strict=True):
            for key in wish.keys if granted else ():
                self._granted[wish.tenant, key, wish.holder] = wish.bounds.get(key, 0)
        bounds = {
            (wish.tenant, key): self._bound(wish, key) for wish in wishes for key in wish.keys
        }
        for key, bound in bounds.items():
            holders = self._store.permits.holders[key]
            if bound and len(holders) > bound:
                self.fail(
                    "permits",
                    f"{key[1]}: {len(holders)} hold it, the bound is {bound}: {sorted(map(str, holders))}",
                )

    def _bound(self, wish: PermitWish, key: str) -> int:
        asked = wish.bounds.get(key, 0)
        if key.startswith(LOCK):
            holders = self._store.permits.holders[wish.tenant, key]
            asked = min((self._granted[wish.tenant, key, each] for each in holders), default=asked)
        return self._store.permits.bounds.get((wish.tenant, key), 0) or asked

    def _goes_on(
        self, state: RunState, event: history_pb2.HistoryEvent, owner: str, partition: int
    ) -> None:
        """A run that begins, or begins again, holds its permits."""
        if event.HasField("blocks_reset") and (not state.ended or event.blocks_reset.waits):
            return
        holder = Holder(run_id=event.run_id, path="")
        for key in permit_keys(state):
            held = holder in self._store.permits.holders[state.tenant, key]
            if not held and holder not in self._released:
                self.fail("permits", f"run {event.run_id} goes on without a permit of {key}")

    def _block_ended(
        self, state: RunState, event: history_pb2.HistoryEvent, owner: str, partition: int
    ) -> None:
        """A foreach has succeeded when all its cells began.

        What fails with its run fails with an end that knows of the last retry, unless it was to stop.
        """
        ended = event.block_ended
        block = state.blocks.get(ended.path)
        if block is not None and block.kind == "for_each" and ended.status == t.SUCCEEDED:
            # Of one that somebody has marked no cell has begun, and it has no count.
            begun = len(block.cells)
            if begun < block.count:
                told = f"{ended.path} of run {event.run_id}"
                self.fail("cells", f"{told} has succeeded with {begun} of {block.count} cells")
        if block is None or not block.child_run_id or ended.error.type != CHILD_FAILED:
            return
        child = self.states[block.child_run_id]
        stops = ending(Decision(state=state, context=NO_CONTEXT), block.scope)
        if not stops and child.asked < block.asked:
            told = f"{ended.path} of run {event.run_id} ends with run {child.run_id}"
            self.fail("children", f"{told}, which has not heard of retry {block.asked}")

    # --- records ------------------------------------------------------------------------------------------------

    def written(self, topic: str, partition: int, record: Written) -> None:
        """Looks at every record of two topics."""
        if topic == topics.STEP_EVENTS:
            self._hear(partition, record)
        elif topic == topics.RUN_EVENTS:
            self._publish(record)

    def _hear(self, partition: int, record: Written) -> None:
        if (topics.STEP_EVENTS, record.value) in self.garbage:
            return
        said = step_pb2.StepEvents.FromString(record.value)
        offset = len(self._broker.logs[topics.STEP_EVENTS, partition]) - 1
        if said.barrier:
            known = self._barriers.get((partition, record.sender))
            if known is None or known[0] != said.barrier:
                self._barriers[partition, record.sender] = (said.barrier, offset, record.time)
            return
        succeeded = False
        for told in said.events:
            succeeded |= told.HasField("succeeded")
            if told.HasField("started") and told.key.succession and succeeded:
                key = told.key
                self._successions.add((key.run_id, key.path, key.generation, said.incarnation))
        # Only renewals prolong a lease; what else a runner says does not.
        for key in said.renewal.held:
            place = (key.run_id, key.path, key.generation, said.incarnation)
            self._said[place].records.append((offset, record.time))

    def _publish(self, record: Written) -> None:
        """The public history is what was committed, in order, without gaps; it may repeat itself."""
        for event in history_pb2.RunEvents.FromString(record.value).events:
            last = self._published[event.run_id]
            kept = self._store.runs.get(event.run_id)
            if event.seq > last + 1:
                self.fail(
                    "public history", f"run {event.run_id}: {event.seq} was published after {last}"
                )
            elif kept is None or len(kept.history) < event.seq:
                self.fail(
                    "public history",
                    f"run {event.run_id}: {event.seq} was published before it was durable",
                )
            elif event.seq == last + 1:
                if kept.history[event.seq - 1] != event:
                    self.fail(
                        "public history", f"run {event.run_id}: {event.seq} is not what is stored"
                    )
                self._published[event.run_id] = event.seq

    # --- what really runs ---------------------------------------------------------------------------------------

    def began(self, execution: Played, lifetime: float) -> None:
        """No two executions of an exclusive step at once; what follows begins when the success before it is durable."""
        if execution.lease.by_succession:
            self._follows(execution)
        if not execution.lease.request.spec.exclusive:
            return
        key = execution.lease.key
        running = self._exclusive[key.run_id, key.path]
        now = self._now()
        for other, until in running.values():
            if until > now and other.world.process.alive:
                self.fail(
                    "exclusive",
                    f"{key.path} runs at {execution.world.incarnation} and at {other.world.incarnation}",
                )
        running[id(execution)] = (execution, now + lifetime)
        self._broker.scheduler.after(lifetime, self._end_unrenewed, execution)

    def _follows(self, execution: Played) -> None:
        key, incarnation = execution.lease.key, execution.world.incarnation
        place = (key.run_id, key.path, key.generation, incarnation)
        if place not in self._successions:
            self.fail("succession", f"{place} begins before the success before it is durable")
        begun = dict(execution.lease.request.spec.inputs_json)
        self._inputs[place] = begun
        state = self.states.get(key.run_id)
        step = state.steps.get(key.path) if state is not None else None
        if (
            step is not None
            and step.status in t.AT_WORK
            and (step.generation, step.incarnation) == (key.generation, incarnation)
        ):
            self._compare_inputs(place, begun, step.inputs)

    def taken(self, execution: Played) -> None:
        """A runner that drains takes nothing by succession, and what follows has the generation of the step before it."""
        lease, incarnation = execution.lease, execution.world.incarnation
        if lease.phase is not Phase.FOLLOWING:
            return
        runner = self._runners[incarnation]
        if runner._draining:
            self.fail("succession", f"{lease.key.path} follows at {incarnation}, which drains")
        for other in runner._leases.leases():
            if other.chain is lease.chain and other.key.generation != lease.key.generation:
                said = f"{lease.key.path} follows under {lease.key.generation}"
                self.fail("succession", f"{said}, {other.key.path} has {other.key.generation}")

    def works(self, incarnation: str, runner: Runner) -> None:
        self._runners[incarnation] = runner

    def renewed(self, execution: Played, lifetime: float) -> None:
        key = execution.lease.key
        running = self._exclusive.get((key.run_id, key.path), {})
        if id(execution) in running:
            running[id(execution)] = (execution, self._now() + lifetime)
            self._broker.scheduler.after(lifetime, self._end_unrenewed, execution)

    def _end_unrenewed(self, execution: Played) -> None:
        """Its supervisor ends it, whatever its runner does."""
        key = execution.lease.key
        running = self._exclusive[key.run_id, key.path]
        entry = running.get(id(execution))
        if entry is not None and entry[1] <= self._now() + 1e-6:
            del running[id(execution)]
            execution.killed()

    def ended(self, execution: Played) -> None:
        key = execution.lease.key
        self._exclusive.get((key.run_id, key.path), {}).pop(id(execution), None)

    def stopped(self, execution: Played, why: Stop) -> None:
        """I3: nobody who rightly holds a step is told to stop it."""
        if why not in (Stop.STALE, Stop.REVOKED):
            return
        key = execution.lease.key
        state = self.states.get(key.run_id)
        # A run that could not even be ended in order leaves its steps as they were.
        step = state.steps.get(key.path) if state is not None and not state.ended else None
        if step is None or (step.attempt, step.generation) != (key.attempt, key.generation):
            return
        if step.incarnation == execution.world.incarnation and step.status in t.AT_WORK:
            alive = id(execution) in self._exclusive.get((key.run_id, key.path), {})
            if alive or not execution.lease.request.spec.exclusive:
                self.fail(
                    "I3",
                    f"{key.path}: its holder {step.incarnation} was told to stop ({why.value})",
                )

    # --- the end ------------------------------------------------------------------------------------------------

    @property
    def all_published(self) -> bool:
        """Whether the whole history of every run has been published."""
        return all(
            self._published[run_id] == len(kept.history)
            for run_id, kept in self._store.runs.items()
        )

    def at_the_end(self) -> None:
        """What can only be said when everything is over."""
        for key, run_id in self.acknowledged.items():
            if run_id not in self._store.runs:
                self.fail("I1", f"run {run_id} of key {key} was acknowledged and is gone")
        self._occasions()
        for run_id in self.unended:
            self.fail("progress", self._story(run_id))
        if not self.all_published:
            late = {
                run_id: (self._published[run_id], len(kept.history))
                for run_id, kept in self._store.runs.items()
                if self._published[run_id] != len(kept.history)
            }
            self.fail("public history", f"not all was published (published, stored): {late}")
        for topic, value in self.garbage:
            if not any(
                record.value == value for record in self._broker.logs[topics.dead_letters(topic), 0]
            ):
                self.fail(
                    "I6", f"a record of {topic} that means nothing is not among the dead letters"
                )
        for key, holders in self._store.permits.holders.items():
            if any(self._store.has_ended(holder.run_id) for holder in holders):
                self.fail(
                    "permits",
                    f"{key[1]} is still held by what has ended: {sorted(map(str, holders))}",
                )
        for run_id, samples in self._samples.items():
            self._replay(run_id, dict(samples))

    def _replay(self, run_id: str, samples: dict[int, str]) -> None:
        """I4: folding the stored history again gives the same states."""
        run = self._store.runs[run_id].record
        state = self._begin(run)
        for event in self._store.history(run_id, limit=1 << 30):
            self._evolve(state, event)
            if state.seq in samples and digest(state) != samples[state.seq]:
                self.fail(
                    "I4",
                    f"run {run_id}: its history up to {state.seq} folds into another state than before",
                )
        self._replay_from_snapshot(run, digest(state))

    def _evolve(self, state: RunState, event: history_pb2.HistoryEvent) -> None:
        try:
            evolve(state, event)
        except ValueError as error:
            self.fail("I4", f"the stored history cannot be folded: {error}")

    def _replay_from_snapshot(self, run: RunRecord, expected: str) -> None:
        """The rest of a history over a state that was kept gives the same end."""
        kept = self._store.snapshot_seqs(run.run_id)
        snapshot = self._store.find_snapshot(run.run_id, self._random.choice(kept))
        assert snapshot is not None
        workflow = self._workflow(run.tenant, run.workflow, run.version)
        state = replay.kept(run, snapshot, workflow)
        for event in self._store.history(run.run_id, state.seq, limit=1 << 30):
            self._evolve(state, event)
        if digest(state) != expected:
            self.fail(
                "I4",
                f"run {run.run_id}: its history after {snapshot.row.seq} over the snapshot gives another end",
            )

    def _story(self, run_id: str) -> str:
        state = self.states.get(run_id)
        if state is None:
            return f"run {run_id} has never begun"
        places = [
            f"{step.path}={run_pb2.Status.Name(step.status)}@{step.incarnation}"
            for step in state.steps.values()
            if step.status not in t.TERMINAL and step.status != t.PENDING
        ]
        blocks = [
            f"{block.path}={run_pb2.Status.Name(block.status)}"
            for block in state.blocks.values()
            if block.status == t.RUNNING
        ]
        return f"run {run_id} has not ended: {run_pb2.Status.Name(state.status)} {places} {blocks}"


_LOOKS: dict[str, Callable[[Checks, RunState, history_pb2.HistoryEvent, str, int], None]] = {
    "step_became_ready": Checks._ready,
    "step_leased": Checks._leased,
    "step_serving": Checks._serving,
    "step_ended": Checks._ended,
    "step_lease_lost": Checks._lost,
    "block_marked": Checks._mark,
    "run_started": Checks._goes_on,
    "run_ended": Checks._run_ended,
    "blocks_reset": Checks._goes_on,
    "block_ended": Checks._block_ended,
}
