"""Creates the run of an occasion."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from kaon_coordinator import expressions
from kaon_coordinator.access import standing
from kaon_coordinator.engine.definition.limits import DEFAULT, Limits
from kaon_coordinator.run_params import run_params
from kaon_coordinator.schedules import times
from kaon_coordinator.schedules.schedule_state import Occasion
from kaon_coordinator.store.base import NewRun, ScheduleRecord, WorkflowRecord
from kaon_wire import canonical
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import run_pb2
from kaonapi.schedule.v1 import schedule_pb2


def run_for(
    schedule: ScheduleRecord,
    occasion: Occasion,
    workflow: WorkflowRecord,
    *,
    now_us: int,
    partitions: int,
    new_run_id: Callable[[int], str],
    limits: Limits = DEFAULT,
    previous: run_pb2.PreviousRun | None = None,
) -> NewRun:
    """Create the run of an occasion, with its parameters evaluated and complete.

    Raises:
        KaonError: A parameter cannot be evaluated or does not match its declaration.
    """
    definition = schedule.definition
    given = dict(definition.params_json)
    values = variables(definition, occasion)
    for name, cel in sorted(definition.params_cel.items()):
        given[name] = canonical.dumps(expressions.evaluate(cel, values, limits.cel_cost))
    run_id = new_run_id(now_us)
    # One of several triggers that has no event is a time.
    timed = times.is_timed(definition) or bool(occasion.trigger and not occasion.event_json)
    scheduled_us = occasion.time_us if timed else 0
    complete = run_params(
        workflow,
        given,
        limits,
        run_id=run_id,
        submit_us=now_us,
        origin=f"schedule:{schedule.name}",
        scheduled_us=scheduled_us,
        previous=previous,
    )
    return NewRun(
        run_id=run_id,
        tenant=schedule.tenant,
        workflow=workflow.name,
        version=workflow.version,
        partition=partition_of(run_id, partitions),
        params=complete.values,
        computed=complete.computed,
        scheduled_us=scheduled_us,
        previous=previous,
        submitter=standing.submitter(schedule.tenant, definition),
        # The time of creation, because another schedule may reuse the name of a deleted one.
        idempotency_key=f"schedule:{schedule.name}:{schedule.create_us}:{occasion.key}",
        now_us=now_us,
        priority=definition.priority,
        origin=f"schedule:{schedule.name}",
        because_of=occasion.because_of,
    )


def variables(definition: schedule_pb2.Schedule, occasion: Occasion) -> dict[str, object]:
    """Return the variables of expressions: the time of the occasion, its date in the schedule's zone, its event and trigger."""
    moment = datetime.fromtimestamp(occasion.time_us / 1_000_000, UTC)
    return {
        "time": times.rfc3339(occasion.time_us),
        "date": moment.astimezone(ZoneInfo(_zone(definition))).date().isoformat(),
        "event": _event(occasion),
        "trigger": occasion.trigger,
    }


def _zone(definition: schedule_pb2.Schedule) -> str:
    """Return the time zone of the schedule: that of its cron, or of the first of its triggers that has one."""
    triggers = (trigger for each in definition.triggers.any for trigger in each.all)
    crons = (definition.cron, *(trigger.cron for trigger in triggers))
    return next((cron.time_zone for cron in crons if cron.time_zone), "UTC")


def _event(occasion: Occasion) -> object:
    return canonical.loads(occasion.event_json) if occasion.event_json else None
