"""ScheduleService: schedules, backfills and permits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from kaon_coordinator.access import standing
from kaon_coordinator.api import views
from kaon_coordinator.api.quotas import Quotas
from kaon_coordinator.api.submission import Submission, checked_key
from kaon_coordinator.ids import new_run_id
from kaon_coordinator.problems import Denied, InvalidRequest, Problem
from kaon_coordinator.schedules import checking
from kaon_coordinator.schedules.due import NEVER_US, first_state, next_scan_us, next_time_us
from kaon_coordinator.schedules.schedule_state import Occasion, ScheduleState
from kaon_coordinator.schedules.scheduled_runs import run_for
from kaon_coordinator.store.base import NewRun, PermitRecord, ScheduleRecord, WorkflowRecord
from kaon_coordinator.store.protocols.access_store import AccessStore
from kaon_coordinator.store.protocols.permit_store import PermitStore
from kaon_coordinator.store.protocols.schedule_store import ScheduleStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service import principal
from kaon_service.page_tokens import window
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue, NotFound
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import run_pb2
from kaonapi.schedule.v1 import schedule_pb2 as s
from kaonapi.schedule.v1 import schedule_pb2_grpc
from kaonapi.workflow.v1 import definition_pb2 as d

# Runs of one backfill.
LARGEST_BACKFILL = 1_000
_TAG = "tag:"


class ScheduleServiceStore(ScheduleStore, PermitStore, AccessStore, Protocol):
    """What the service needs of the store."""


@dataclass(frozen=True, kw_only=True)
class ScheduleParts:
    """The dependencies of the service."""

    store: StoreCalls[ScheduleServiceStore]
    submission: Submission
    # Number of partitions of schedules.
    partitions: int
    # Called when a schedule was put.
    changed: Callable[[], None]
    quotas: Quotas


class ScheduleServicer(schedule_pb2_grpc.ScheduleServiceServicer):
    """Serves the methods of ScheduleService for the caller's schedules."""

    def __init__(self, parts: ScheduleParts) -> None:
        self._parts = parts
        self._threads = parts.store
        self._store = parts.store.store
        self._submission = parts.submission

    async def PutSchedule(  # noqa: N802
        self, request: s.PutScheduleRequest, context: Any
    ) -> s.PutScheduleResponse:
        """Create a schedule, or replace the one of its name."""
        schedule = _told(request.schedule)
        workflow = await self._submission.workflow(schedule.workflow, schedule.version)
        checking.check(schedule, workflow.definition, self._submission.limits)
        caller, now_us = principal.current(), self._submission.now_us()
        tenant = caller.tenant
        await self._submission.bounds.check(workflow, schedule.priority, caller)
        await self._check_topic(schedule)
        await self._submission.grants.check_values(caller, schedule.params_json.values())
        await self._submission.renewal.named_in(schedule.SerializeToString())
        schedule.put_by, schedule.put_authentication = caller.name, caller.authentication
        schedule.put_roles.extend(sorted(caller.roles))
        state = await self._state(tenant, schedule, now_us)
        record = ScheduleRecord(
            tenant=tenant,
            partition=partition_of(f"{tenant}/{schedule.name}", self._parts.partitions),
            definition=schedule,
            next_us=next_scan_us(schedule, state, now_us),
            state=state.to_json(),
            revision=0,
            create_us=now_us,
        )
        kept, created = await self._threads.run(self._store.put_schedule, record)
        self._parts.changed()
        return s.PutScheduleResponse(schedule=_view(kept), created=created)

    async def GetSchedule(  # noqa: N802
        self, request: s.GetScheduleRequest, context: Any
    ) -> s.GetScheduleResponse:
        """Return one schedule."""
        tenant = principal.current().tenant
        found = await self._threads.read(self._store.get_schedule, tenant, request.name)
        return s.GetScheduleResponse(schedule=_view(found))

    async def ListSchedules(  # noqa: N802
        self, request: s.ListSchedulesRequest, context: Any
    ) -> s.ListSchedulesResponse:
        """Return the caller's schedules by name."""
        wanted = window(request.page_size, request.page_token)
        found = await self._threads.read(
            self._store.list_schedules, principal.current().tenant, wanted.after, wanted.limit
        )
        page, token = wanted.cut(found, lambda record: record.name)
        return s.ListSchedulesResponse(
            schedules=[_view(each) for each in page], next_page_token=token
        )

    async def DeleteSchedule(  # noqa: N802
        self, request: s.DeleteScheduleRequest, context: Any
    ) -> s.DeleteScheduleResponse:
        """Delete a schedule; its runs stay."""
        await self._threads.run(
            self._store.delete_schedule, principal.current().tenant, request.name
        )
        return s.DeleteScheduleResponse()

    async def RunSchedule(  # noqa: N802
        self, request: s.RunScheduleRequest, context: Any
    ) -> s.RunScheduleResponse:
        """Submit one run of a schedule at once."""
        caller, now_us = principal.current(), self._submission.now_us()
        schedule = await self._threads.read(self._store.get_schedule, caller.tenant, request.name)
        wanted = schedule.definition
        workflow = await self._submission.workflow(wanted.workflow, wanted.version)
        time_us = request.time.ToMicroseconds() if request.HasField("time") else now_us
        key = f"now:{checked_key(request.idempotency_key) or new_run_id(now_us)}"
        run = run_for(
            schedule,
            Occasion(key=key, time_us=time_us),
            workflow,
            now_us=now_us,
            partitions=self._submission.partitions,
            new_run_id=self._submission.new_run_id,
            limits=self._submission.limits,
            previous=await self._submission.previous_success(workflow),
        )
        made, created = await self._submission.submit(replace(run, submitter=caller.name))
        return s.RunScheduleResponse(run=views.run(made), created=created)

    async def Backfill(self, request: s.BackfillRequest, context: Any) -> s.BackfillResponse:  # noqa: N802
        """Submit one run for each date of a range, with at most `max_active` of them active at once."""
        workflow = await self._submission.workflow(request.workflow, request.version)
        name = request.name or request.workflow
        previous = await self._submission.previous_success(workflow)
        runs = [
            self._backfilled(request, workflow, name, each, previous)
            for each in _dates(request, workflow)
        ]
        key = f"backfill:{name}"
        await self._threads.run(self._store.set_permits, workflow.tenant, key, request.max_active)
        answers = await self._submission.submit_all(runs)
        return s.BackfillResponse(
            runs=[views.run(run) for run, _ in answers],
            created=sum(created for _, created in answers),
        )

    async def SetPermits(self, request: s.SetPermitsRequest, context: Any) -> s.SetPermitsResponse:  # noqa: N802
        """Set how many steps with a tag may be active at once; 0 removes the bound."""
        tag, limit = request.permits.tag, request.permits.limit
        if not tag:
            raise InvalidValue("permits.tag: name the tag")
        if limit < 0:
            raise InvalidValue(
                f"permits.limit {limit}: use a number from 0 on; 0 removes the bound"
            )
        tenant = principal.current().tenant
        record = await self._threads.run(self._store.set_permits, tenant, f"{_TAG}{tag}", limit)
        return s.SetPermitsResponse(permits=_permits(record))

    async def ListPermits(  # noqa: N802
        self, request: s.ListPermitsRequest, context: Any
    ) -> s.ListPermitsResponse:
        """Return the tags that have a bound, with their taken permits."""
        wanted = window(request.page_size, request.page_token)
        found = await self._threads.read(
            self._store.list_permits,
            principal.current().tenant,
            f"{_TAG}{wanted.after}",
            wanted.limit,
        )
        tagged = [_permits(each) for each in found if each.key.startswith(_TAG)]
        page, token = wanted.cut(tagged, lambda permits: permits.tag)
        return s.ListPermitsResponse(permits=page, next_page_token=token)

    async def _check_topic(self, schedule: s.Schedule) -> None:
        """Check that the caller's tenant may read the topic of a schedule.

        Raises:
            Denied: It may not.
        """
        caller = principal.current()
        tenant = await self._threads.read(self._store.find_tenant, caller.tenant)
        if problem := standing.topic_problem(schedule, caller, tenant):
            raise Denied(problem)

    async def _state(self, tenant: str, schedule: s.Schedule, now_us: int) -> ScheduleState:
        """Return the schedule's state; one with changed times or trigger begins anew."""
        try:
            old = await self._threads.read(self._store.get_schedule, tenant, schedule.name)
        except NotFound:
            await self._parts.quotas.check_schedule(tenant)
            return first_state(schedule, now_us)
        state = ScheduleState.from_json(old.state)
        if _when(old.definition) == _when(schedule):
            return replace(state, last_error="")
        return replace(
            first_state(schedule, now_us),
            last_run_id=state.last_run_id,
            last_run_us=state.last_run_us,
        )

    def _backfilled(
        self,
        request: s.BackfillRequest,
        workflow: WorkflowRecord,
        name: str,
        day: date,
        previous: run_pb2.PreviousRun | None,
    ) -> NewRun:
        given = {**request.params_json, request.parameter: canonical.dumps(day.isoformat())}
        key = f"backfill:{name}:{day.isoformat()}"
        return self._submission.new_run(
            workflow,
            given,
            idempotency_key=key,
            priority=request.priority,
            origin=f"backfill:{name}",
            scheduled_us=_midnight_us(day),
            previous=previous,
        )


def _midnight_us(day: date) -> int:
    """Return the begin of a date in UTC: a backfill's dates have no time zone."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000


def _dates(request: s.BackfillRequest, workflow: WorkflowRecord) -> list[date]:
    """Return the dates of a backfill in order of submission.

    Raises:
        InvalidRequest: The error names all problems.
    """
    declared = {parameter.name: parameter.type for parameter in workflow.definition.parameters}
    problems = []
    if declared.get(request.parameter) not in {d.VALUE_TYPE_DATE, d.VALUE_TYPE_STRING}:
        text = f"the workflow has no parameter {request.parameter!r} of type date or string"
        problems.append(Problem(field="parameter", text=text))
    limits = []
    for field, text in (("first_date", request.first_date), ("last_date", request.last_date)):
        try:
            limits.append(date.fromisoformat(text))
        except ValueError:
            problems.append(
                Problem(field=field, text=f'{field} {text!r}: use a date such as "2026-11-24"')
            )
    if request.every_days < 0 or request.max_active < 0:
        problems.append(
            Problem(field="every_days", text="every_days and max_active must not be negative")
        )
    if problems:
        raise InvalidRequest("backfill", problems)
    first, last = limits
    every = request.every_days or 1
    count = (last - first).days // every + 1
    if not 0 < count <= LARGEST_BACKFILL:
        text = (
            f"from {first} to {last} there are {max(count, 0)} dates; use 1 to {LARGEST_BACKFILL}"
        )
        raise InvalidRequest("backfill", [Problem(field="last_date", text=text)])
    dates = [first + timedelta(days=number * every) for number in range(count)]
    return dates[::-1] if request.newest_first else dates


def _told(schedule: s.Schedule) -> s.Schedule:
    """Return the fields that a client may set; the server sets the others."""
    told = s.Schedule()
    told.CopyFrom(schedule)
    for time in ("next_time", "last_time"):
        told.ClearField(time)
    told.last_run_id = told.last_error = told.put_by = told.put_authentication = ""
    del told.put_roles[:]
    return told


def _when(schedule: s.Schedule) -> bytes:
    when = schedule.WhichOneof("when")
    message: bytes = getattr(schedule, when).SerializeToString(deterministic=True) if when else b""
    return f"{when}:".encode() + message


def _view(record: ScheduleRecord) -> s.Schedule:
    state = ScheduleState.from_json(record.state)
    schedule = s.Schedule()
    schedule.CopyFrom(record.definition)
    next_us = NEVER_US if schedule.paused else next_time_us(schedule, state)
    if next_us < NEVER_US:
        schedule.next_time.FromMicroseconds(next_us)
    if state.last_run_us:
        schedule.last_time.FromMicroseconds(state.last_run_us)
    schedule.last_run_id, schedule.last_error = state.last_run_id, state.last_error
    return schedule


def _permits(record: PermitRecord) -> s.Permits:
    return s.Permits(tag=record.key.removeprefix(_TAG), limit=record.bound, taken=record.taken)
