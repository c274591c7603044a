"""The scheduler: submits the runs of the schedules in the partitions of this process.

Each evaluation of a schedule ends in one transaction. It writes runs, messages to other runs and the position
of the schedule under the partition's epoch, and only if no client has changed the schedule meanwhile. So each
occasion gives one run, whichever coordinator evaluates it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import structlog

from kaon_coordinator.access import standing
from kaon_coordinator.access.bounds import TenantBounds
from kaon_coordinator.access.grants import Grants
from kaon_coordinator.bounded_wait import came
from kaon_coordinator.engine.definition.limits import DEFAULT, Limits
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.run_info import may_use_run_info
from kaon_coordinator.faults import Fault, going_on, note_fault
from kaon_coordinator.previous_success import previous_success
from kaon_coordinator.schedules import combining, due, filtering, overlap, times
from kaon_coordinator.schedules.combining import leaves
from kaon_coordinator.schedules.dataset_updated import dataset_updated
from kaon_coordinator.schedules.run_finished import run_finished
from kaon_coordinator.schedules.schedule_backoff import Backoff
from kaon_coordinator.schedules.schedule_state import Occasion, ScheduleState
from kaon_coordinator.schedules.scheduled_runs import run_for
from kaon_coordinator.schedules.topic_records import (
    Fetched,
    RecordSource,
    model_occasion,
    record_occasion,
)
from kaon_coordinator.store.base import (
    Fenced,
    Message,
    NewRun,
    ScheduleRecord,
    ScheduleStep,
    SetAside,
)
from kaon_coordinator.store.protocols.access_store import AccessStore
from kaon_coordinator.store.protocols.aside_store import AsideStore
from kaon_coordinator.store.protocols.dataset_store import DatasetStore
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_coordinator.store.protocols.schedule_store import ScheduleStore
from kaon_coordinator.store.protocols.workflow_store import WorkflowStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_wire import topics
from kaon_wire.errors import Conflict, KaonError, NotFound, Unavailable
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import command_pb2

log = structlog.get_logger(__name__)

# Upper bound of schedules per scan and of records per evaluation.
_AT_ONCE = 100_000
# Before the reason why a schedule submits nothing.
_STOPS = "it stops: "
_RECORDS = 100
# Upper bound of topics read at once, and the time-out of one read.
_TOPICS_AT_ONCE = 32
_TOPIC_SECONDS = 30.0

# A schedule: its tenant and name.
_Key: TypeAlias = tuple[str, str]


class SchedulerStore(
    ScheduleStore, DatasetStore, RunStore, WorkflowStore, AsideStore, AccessStore, Protocol
):
    """What the scheduler needs of the store."""


class Stopped(KaonError):
    """Who put the schedule may not act any more."""


class TopicSilent(KaonError):
    """The topic of one schedule does not answer."""


@dataclass(frozen=True, kw_only=True)
class SchedulerParts:
    """The dependencies of the scheduler."""

    store: StoreCalls[SchedulerStore]
    # Returns the epochs of the partitions that this process owns.
    epochs: Callable[[], Mapping[int, int]]
    # Wakes the owner of a partition with new commands.
    wake: Callable[[int], Awaitable[None]]
    # None: triggers by records and models report an error.
    records: RecordSource | None
    # Number of partitions of runs.
    partitions: int
    # Returns microseconds since the epoch.
    now_us: Callable[[], int]
    # Returns a fresh id for a run submitted at this time.
    new_run_id: Callable[[int], str]
    # Bounds of tenants.
    bounds: TenantBounds
    # Which tenant has which artifacts.
    grants: Grants
    # Bounds of submitted runs.
    limits: Limits = DEFAULT
    every_seconds: float = 1.0


class Scheduler:
    """Evaluates schedules, periodically and after changes."""

    def __init__(self, parts: SchedulerParts) -> None:
        self._parts = parts
        self._store = parts.store.store
        self._changed = asyncio.Event()
        self._backoff = Backoff()
        # Schedules whose topics are being read.
        self._asking: dict[_Key, asyncio.Task[None]] = {}
        self._topics = asyncio.Semaphore(_TOPICS_AT_ONCE)
        # Schedules reported as set aside; None until the store was read.
        self._aside: set[_Key] | None = None

    def changed(self) -> None:
        """Request a scan: a client has put a schedule."""
        self._changed.set()

    async def run(self) -> None:
        """Scan until cancelled. The next scan retries when the database does not answer."""
        try:
            while True:
                self._changed.clear()
                with going_on("schedules were scanned"):
                    await self._begin_scan()
                await came(self._changed, self._parts.every_seconds)
        finally:
            asking = list(self._asking.values())
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def scan(self) -> None:
        """Scan once; return when the topics of all schedules have answered, too."""
        await self._begin_scan()
        await asyncio.gather(*self._asking.values())

    async def _begin_scan(self) -> None:
        """Evaluate every due schedule.

        Schedules that wait for records are evaluated in tasks of their own: an unresponsive topic delays no
        other schedule.
        """
        epochs = dict(self._parts.epochs())
        if not epochs:
            return
        if self._aside is None:
            known = await self._parts.store.read(self._store.list_set_aside, 0)
            self._aside = {(each.tenant, each.name) for each in known if each.kind == "schedule"}
        now_us = self._parts.now_us()
        found = await self._parts.store.read(
            self._store.due_schedules, list(epochs), now_us, _AT_ONCE
        )
        for schedule in found:
            key = (schedule.tenant, schedule.name)
            if key in self._asking or self._backoff.holds(schedule, now_us):
                continue
            epoch = epochs[schedule.partition]
            if _reads_topic(schedule):
                task = self._asking[key] = asyncio.ensure_future(
                    self._evaluate_in_task(schedule, epoch, now_us)
                )
                task.add_done_callback(lambda _, key=key: self._asking.pop(key, None))  # type: ignore[misc]
            else:
                await self._evaluate(schedule, epoch, now_us)

    async def _evaluate_in_task(self, schedule: ScheduleRecord, epoch: int, now_us: int) -> None:
        async with self._topics:
            with going_on("a schedule was evaluated", schedule=schedule.name):
                await self._evaluate(schedule, epoch, now_us)

    async def _evaluate(self, schedule: ScheduleRecord, epoch: int, now_us: int) -> None:
        """Evaluate one schedule.

        An error of this schedule alone is stored in it and delays its next evaluation.

        Raises:
            Unavailable: The database does not answer.
        """
        try:
            await self._treat(schedule, epoch, now_us)
        except Fenced:
            log.info("schedule evaluation fenced by a newer owner", schedule=schedule.name)
        except Unavailable:
            raise
        except TopicSilent as error:
            log.warning(
                "read of a schedule's topic failed; retrying",
                schedule=schedule.name,
                reason=str(error),
            )
            self._backoff.record_failure(schedule, schedule.revision, now_us)
        except Stopped as error:
            await self._stop(schedule, epoch, str(error))
        except Exception as error:
            about = {"schedule": schedule.name, "tenant": schedule.tenant}
            await self._set_aside(
                schedule, epoch, note_fault("a schedule was evaluated", error, **about)
            )
        else:
            self._backoff.clear(schedule)
            await self._take_back(schedule)

    async def _stop(self, schedule: ScheduleRecord, epoch: int, reason: str) -> None:
        """Show why a schedule stops, and look again later: what falls due meanwhile is treated by `catch_up`."""
        revision, text = schedule.revision, f"{_STOPS}{reason}"
        state = ScheduleState.from_json(schedule.state)
        if state.last_error != text:
            log.warning("schedule stops", schedule=schedule.name, reason=reason)
            kept = replace(state, last_error=text).to_json()
            step = ScheduleStep(schedule=schedule, next_us=schedule.next_us, state=kept)
            if await self._parts.store.run(self._store.advance_schedule, epoch, step) is not None:
                revision += 1
        self._backoff.record_failure(schedule, revision, self._parts.now_us())

    async def _set_aside(self, schedule: ScheduleRecord, epoch: int, fault: Fault) -> None:
        """Store the error of a schedule that cannot be evaluated, and delay its next evaluation."""
        revision, now_us = schedule.revision, self._parts.now_us()
        with going_on("the error of a schedule was stored", schedule=schedule.name):
            state = replace(ScheduleState.from_json(schedule.state), last_error=str(fault))
            step = ScheduleStep(schedule=schedule, next_us=schedule.next_us, state=state.to_json())
            if await self._parts.store.run(self._store.advance_schedule, epoch, step) is not None:
                revision += 1
        self._backoff.record_failure(schedule, revision, now_us)
        aside = SetAside(
            kind="schedule",
            tenant=schedule.tenant,
            name=schedule.name,
            partition=schedule.partition,
            reference=fault.reference,
            reason=str(fault),
            time_us=now_us,
        )
        await self._parts.store.run(self._store.put_aside, aside)
        assert self._aside is not None
        self._aside.add((schedule.tenant, schedule.name))

    async def _take_back(self, schedule: ScheduleRecord) -> None:
        """Remove the report of a schedule that can be evaluated again."""
        key = (schedule.tenant, schedule.name)
        assert self._aside is not None
        if key in self._aside:
            await self._parts.store.run(self._store.take_back, "schedule", *key)
            self._aside.discard(key)

    async def _treat(self, schedule: ScheduleRecord, epoch: int, now_us: int) -> None:
        await self._check_standing(schedule, now_us)
        kept = state = ScheduleState.from_json(schedule.state)
        if kept.last_error.startswith(_STOPS):
            state = replace(kept, last_error="")
        try:
            occasions, came = await self._occasions(schedule, state, now_us)
        except (Unavailable, TopicSilent):
            raise
        except KaonError as error:
            occasions, came = [], replace(state, last_error=str(error))
        active = bool(occasions or state.buffered) and await self._is_active(
            schedule.tenant, state.last_run_id
        )
        plan = overlap.plan(
            schedule.definition.overlap, occasions, active=active, buffered=state.buffered
        )
        runs, came = await self._runs(schedule, plan.submit, came, now_us)
        came = replace(came, buffered=plan.buffered)
        next_us = due.next_scan_us(schedule.definition, came, now_us)
        if came == kept and next_us == schedule.next_us:
            return
        step = ScheduleStep(
            schedule=schedule,
            next_us=next_us,
            state=came.to_json(),
            runs=runs,
            messages=[_cancel(schedule, state.last_run_id, now_us)] if plan.cancel else [],
        )
        try:
            await self._write(step, epoch)
        except KaonError:
            raise
        except Exception as error:
            # Skip these occasions, or the schedule would fail on them for ever.
            fault = note_fault("runs of a schedule were stored", error, schedule=schedule.name)
            passed = replace(state, last_us=came.last_us, cursor_us=came.cursor_us, seen=came.seen)
            passed = replace(passed, positions=came.positions, buffered=None, last_error=str(fault))
            passed = replace(passed, parts=came.parts, waiting=came.waiting)
            await self._write(replace(step, runs=(), messages=(), state=passed.to_json()), epoch)

    async def _check_standing(self, schedule: ScheduleRecord, now_us: int) -> None:
        """Check that the schedule may act.

        Raises:
            Stopped: It may not.
        """
        reason = await self._parts.store.read(
            standing.problem, self._store, schedule.tenant, schedule.definition, now_us
        )
        if reason:
            raise Stopped(reason)

    async def _write(self, step: ScheduleStep, epoch: int) -> None:
        answers = await self._parts.store.run(self._store.advance_schedule, epoch, step)
        if answers is None:
            # A client has changed it: the next scan reads the new revision.
            self._changed.set()
            return
        for answer in answers:
            if isinstance(answer, Conflict):
                log.error("scheduled run refused", schedule=step.schedule.name, reason=str(answer))
            else:
                run, created = answer
                log.info(
                    "scheduled run submitted",
                    schedule=step.schedule.name,
                    run=run.run_id,
                    created=created,
                )
        told = [run.run_id for run in step.runs] + [message.run_id for message in step.messages]
        for partition in {partition_of(run_id, self._parts.partitions) for run_id in told}:
            await self._parts.wake(partition)

    async def _occasions(
        self, schedule: ScheduleRecord, state: ScheduleState, now_us: int
    ) -> tuple[list[Occasion], ScheduleState]:
        """Return the occasions since the last evaluation that the filter keeps, and the state after them."""
        definition, cost = schedule.definition, self._parts.limits.cel_cost
        if definition.HasField("triggers"):
            found, came = await self._combined(schedule, state, now_us)
        else:
            found, came = await self._happened(schedule, state, now_us)
        return filtering.kept(definition.filter_cel, definition, found, came, cost)

    async def _combined(
        self, schedule: ScheduleRecord, state: ScheduleState, now_us: int
    ) -> tuple[list[Occasion], ScheduleState]:
        """Return the occasions of several triggers, and the state after them."""
        arrived, parts, cost = [], {}, self._parts.limits.cel_cost
        for leaf in combining.leaves(schedule.definition):
            alone = replace(schedule, definition=leaf.schedule)
            found, came = await self._happened(alone, combining.state_of(leaf, state), now_us)
            named = [replace(each, trigger=leaf.name) for each in found]
            kept, came = filtering.kept(leaf.filter_cel, leaf.schedule, named, came, cost)
            kept, came = filtering.joined(leaf.join_cel, leaf.schedule, kept, came, cost)
            arrived += [(leaf, each) for each in kept]
            parts[leaf.place] = came
        occasions, came = combining.combine(schedule.definition, state, arrived)
        return occasions, combining.with_parts(came, parts)

    async def _happened(
        self, schedule: ScheduleRecord, state: ScheduleState, now_us: int
    ) -> tuple[list[Occasion], ScheduleState]:
        """Return what has happened since the last evaluation, and the state after it."""
        definition = schedule.definition
        if times.is_timed(definition):
            found, last_us = due.due_occasions(definition, state, now_us)
            return found, replace(state, last_us=last_us)
        if definition.HasField("run_finished"):
            found, came = await self._parts.store.read(run_finished, self._store, schedule, state)
        elif definition.HasField("dataset_updated"):
            found, came = await self._parts.store.read(
                dataset_updated, self._store, schedule, state
            )
        else:
            found, came = await self._records(schedule, state)
        return [each for each in found if due.is_within(definition, each.time_us)], came

    async def _records(
        self, schedule: ScheduleRecord, state: ScheduleState
    ) -> tuple[list[Occasion], ScheduleState]:
        if self._parts.records is None:
            raise NotFound("this coordinator reads no topics")
        definition = schedule.definition
        arrived = definition.HasField("record_arrived")
        topic = definition.record_arrived.topic if arrived else topics.MODEL_EVENTS
        fetched = await self._fetch(self._parts.records, topic, state)
        made = [
            record_occasion(each)
            if arrived
            else model_occasion(each, schedule.tenant, definition.model_published)
            for each in fetched.records
        ]
        return [each for each in made if each is not None], replace(
            state, positions=fetched.positions
        )

    async def _fetch(self, records: RecordSource, topic: str, state: ScheduleState) -> Fetched:
        try:
            async with asyncio.timeout(_TOPIC_SECONDS):
                return await records.fetch(topic, state.positions, _RECORDS)
        except (Unavailable, TimeoutError) as error:
            told = str(error) or f"topic {topic!r} has not answered for {_TOPIC_SECONDS:.0f} s"
            raise TopicSilent(told) from error

    async def _is_active(self, tenant: str, run_id: str) -> bool:
        if not run_id:
            return False
        try:
            run = await self._parts.store.read(self._store.get_run, tenant, run_id)
        except NotFound:
            return False
        return run.row.status not in t.TERMINAL

    async def _runs(
        self,
        schedule: ScheduleRecord,
        occasions: Sequence[Occasion],
        state: ScheduleState,
        now_us: int,
    ) -> tuple[list[NewRun], ScheduleState]:
        """Create the runs of the occasions.

        An occasion whose run is refused is skipped; the schedule keeps the error.
        """
        runs: list[NewRun] = []
        for occasion in occasions:
            try:
                workflow = await self._parts.store.read(
                    self._store.get_workflow,
                    schedule.tenant,
                    schedule.definition.workflow,
                    schedule.definition.version,
                )
                previous = None
                if may_use_run_info(workflow.definition):
                    previous = await self._parts.store.read(previous_success, self._store, workflow)
                run = run_for(
                    schedule,
                    occasion,
                    workflow,
                    now_us=now_us,
                    partitions=self._parts.partitions,
                    new_run_id=self._parts.new_run_id,
                    limits=self._parts.limits,
                    previous=previous,
                )
                caller = standing.putter(schedule.tenant, schedule.definition)
                await self._parts.bounds.check(workflow, run.priority, caller)
                await self._parts.grants.check_values(caller, run.params.values())
            except Unavailable:
                raise
            except KaonError as error:
                log.warning("scheduled run refused", schedule=schedule.name, reason=str(error))
                state = replace(state, last_error=str(error))
                continue
            except Exception as error:
                fault = note_fault("a scheduled run was made", error, schedule=schedule.name)
                state = replace(state, last_error=str(fault))
                continue
            runs.append(run)
            state = replace(
                state, last_run_id=run.run_id, last_run_us=occasion.time_us, last_error=""
            )
        return runs, state


def _reads_topic(schedule: ScheduleRecord) -> bool:
    alone = [schedule.definition, *(leaf.schedule for leaf in leaves(schedule.definition))]
    return any(
        each.HasField("record_arrived") or each.HasField("model_published") for each in alone
    )


def _cancel(schedule: ScheduleRecord, run_id: str, now_us: int) -> Message:
    requester = f"schedule:{schedule.name}"
    wish = command_pb2.RequestRunCancel(
        reason="the next run of its schedule begins", requester=requester
    )
    command = command_pb2.RunCommand(
        run_id=run_id, cancel=wish, requester=requester, reason=wish.reason
    )
    return Message(run_id=run_id, command=command, now_us=now_us)
