"""Several triggers of one schedule, and filters: the scheduler over a real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kaon_coordinator.access.standing import topic_problem
from kaon_coordinator.ids import new_run_id
from kaon_coordinator.problems import InvalidRequest
from kaon_coordinator.schedules import checking
from kaon_coordinator.schedules.due import NEVER_US, next_time_us
from kaon_coordinator.schedules.schedule_state import Occasion, ScheduleState
from kaon_coordinator.schedules.scheduled_runs import run_for
from kaon_service.principal import Principal
from kaon_wire import canonical
from kaonapi.run.v1 import run_pb2
from kaonapi.schedule.v1 import schedule_pb2 as s
from kaonapi.workflow.v1 import definition_pb2 as d

from ..store.build import new_run
from .test_scheduler import HOUR_US, HOURLY, TOPIC, Desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    for name in ("sales", "stock"):
        desk.register(name)
    desk.register("follow", told=d.VALUE_TYPE_STRING)
    yield desk
    await desk.thread.close()


def after(workflow: str, **fields: Any) -> s.Trigger:
    return s.Trigger(name=workflow, run_finished=s.RunFinished(workflow=workflow), **fields)


def alternatives(*each: list[s.Trigger], within_ms: int = 0) -> s.Triggers:
    return s.Triggers(any=[s.Alternative(all=all_, within_ms=within_ms) for all_ in each])


def finish(desk: Desk, workflow: str, **row: Any) -> str:
    """A run of the workflow ends now, a second after the last one."""
    desk.now_us += 1_000_000
    run, _ = desk.store.submit_run(new_run(workflow=workflow))
    desk.end(run, run_pb2.STATUS_SUCCEEDED, **row)
    return run.run_id


def told(desk: Desk) -> list[str]:
    return [canonical.loads(run.params["told"]) for run in desk.runs("follow")]


async def test_each_of_several_triggers_gives_a_run_and_says_which_it_was(desk: Desk) -> None:
    cron = s.Trigger(name="hour", cron=HOURLY)
    desk.put(
        workflow="follow",
        triggers=alternatives([cron], [after("sales")], [after("stock")]),
        params_cel={"told": "trigger + (trigger == 'hour' ? '' : ' ' + event.run_id)"},
    )
    await desk.scan()
    sales, stock = finish(desk, "sales"), finish(desk, "stock")
    await asyncio.gather(desk.scheduler.scan(), desk.another().scan())
    await desk.scan(times=2)
    assert sorted(told(desk)) == [f"sales {sales}", f"stock {stock}"]
    await desk.scan(hours=1, times=2)
    assert len(told(desk)) == 3
    assert told(desk)[-1] == "hour"
    kept = desk.store.get_schedule("default", "nightly")
    assert next_time_us(kept.definition, ScheduleState.from_json(kept.state)) % HOUR_US == 0
    before = kept
    await desk.another().scan()
    assert desk.store.get_schedule("default", "nightly") == before, "nothing has come up"


async def test_a_run_of_one_of_several_times_has_a_scheduled_time(desk: Desk) -> None:
    cron = s.Trigger(name="hour", cron=HOURLY)
    record = desk.put(workflow="w", triggers=alternatives([cron], [after("sales")]))
    workflow = desk.store.get_workflow("default", "w", "")

    def scheduled(**fields: Any) -> int:
        occasion = Occasion(key="k", time_us=5, **fields)
        made = run_for(record, occasion, workflow, now_us=9, partitions=1, new_run_id=new_run_id)
        return made.scheduled_us

    assert scheduled(trigger="hour") == 5
    assert scheduled(trigger="sales", event_json="{}") == 0


async def test_all_of_some_triggers_give_one_run_also_with_another_owner_in_between(
    desk: Desk,
) -> None:
    desk.put(
        workflow="follow",
        triggers=alternatives([after("sales"), after("stock")]),
        params_cel={"told": "event.sales.run_id + ' ' + event.stock.run_id"},
    )
    await desk.scan()
    finish(desk, "sales")
    await desk.scan()
    newest = finish(desk, "sales")
    await desk.another().scan()
    assert told(desk) == []
    stock = finish(desk, "stock")
    await asyncio.gather(*(each.scan() for each in (desk.scheduler, desk.another())))
    await desk.scan(times=2)
    assert told(desk) == [f"{newest} {stock}"]
    # What was used does not count again.
    finish(desk, "stock")
    await desk.scan(times=2)
    assert len(told(desk)) == 1
    finish(desk, "sales")
    await desk.scan(times=2)
    assert len(told(desk)) == 2


async def test_what_happened_too_long_before_the_others_does_not_count(desk: Desk) -> None:
    both = alternatives([after("sales"), after("stock")], within_ms=60_000)
    desk.put(workflow="w", triggers=both)
    await desk.scan()
    finish(desk, "sales")
    desk.now_us += 70_000_000
    finish(desk, "stock")
    await desk.scan(times=2)
    assert desk.runs() == []
    finish(desk, "sales")
    await desk.scan(times=2)
    assert len(desk.runs()) == 1


async def test_a_time_is_awaited_together_with_an_event(desk: Desk) -> None:
    hour = s.Trigger(name="hour", cron=HOURLY)
    desk.put(
        workflow="follow",
        triggers=alternatives([hour, after("sales")]),
        params_cel={"told": "event.hour.time + ' ' + date"},
    )
    await desk.scan()
    finish(desk, "sales")
    await desk.scan()
    assert told(desk) == []
    await desk.scan(hours=1, times=2)
    assert told(desk) == ["2026-05-01T11:00:00Z 2026-05-01"]


async def test_a_filter_keeps_what_is_true_of_it_and_tells_what_has_no_answer(desk: Desk) -> None:
    wanted = "event.outputs.total > 10"
    desk.put("plain", run_finished=s.RunFinished(workflow="sales"), filter_cel=wanted)
    one = alternatives([after("sales", filter_cel=wanted)], [after("stock", filter_cel="false")])
    desk.put("several", triggers=one)
    desk.put("dated", cron=HOURLY, filter_cel="date != '2026-05-01'")
    await desk.scan()
    finish(desk, "sales", outputs='{"total":"3"}')
    finish(desk, "sales", outputs='{"total":"30"}')
    finish(desk, "stock")
    await desk.scan(times=2)
    assert sorted(run.origin for run in desk.runs()) == ["schedule:plain", "schedule:several"]
    assert desk.state("plain").last_error == ""
    finish(desk, "sales")
    await desk.scan(times=2)
    for name in ("plain", "several"):
        assert desk.state(name).last_error.startswith("filter: expression")
    assert len(desk.runs()) == 2
    await desk.scan(hours=1)
    assert len(desk.runs()) == 2
    await desk.scan(hours=14)
    assert [run.origin for run in desk.runs()].count("schedule:dated") == 1


async def test_records_of_a_topic_are_one_of_several_triggers(desk: Desk) -> None:
    record = s.Trigger(name="order", record_arrived=s.RecordArrived(topic=TOPIC))
    desk.put(
        workflow="follow",
        triggers=alternatives([record, after("sales")]),
        params_cel={"told": "event.order.value"},
    )
    await desk.scan()
    desk.broker.produce(TOPIC, 0, b'"first"')
    await desk.scan(times=2)
    finish(desk, "sales")
    await desk.another().scan()
    assert told(desk) == ["first"]


def test_a_schedule_without_several_triggers_keeps_the_state_that_earlier_versions_read() -> None:
    plain = ScheduleState(last_us=1, positions={0: 4}, seen=("a",))
    assert canonical.loads(plain.to_json()).keys().isdisjoint({"parts", "waiting"})
    assert ScheduleState.from_json(plain.to_json()) == plain


def test_a_trigger_may_have_a_jitter_of_its_own() -> None:
    def due_us(**fields: int) -> int:
        trigger = s.Trigger(name="hour", cron=HOURLY, **fields)
        schedule = s.Schedule(name="n", triggers=alternatives([trigger]), jitter_ms=3_600_000)
        return next_time_us(schedule, ScheduleState(last_us=0))

    assert due_us(jitter_ms=0) == HOUR_US
    assert HOUR_US < due_us(jitter_ms=60_000) < HOUR_US + 60_000_000
    assert due_us() > HOUR_US + 60_000_000


def test_next_times_are_those_of_the_triggers_that_have_any() -> None:
    events = s.Schedule(name="n", triggers=alternatives([after("sales")]))
    assert next_time_us(events, ScheduleState(last_us=1)) == NEVER_US


def test_a_tenant_may_read_no_topic_by_one_of_several_triggers() -> None:
    record = s.Trigger(record_arrived=s.RecordArrived(topic="payments"))
    schedule = s.Schedule(triggers=alternatives([after("sales")], [after("stock"), record]))
    caller = Principal(
        tenant="blue", name="ada", roles=frozenset({"author"}), authentication="token"
    )
    assert "not granted topic 'payments'" in topic_problem(schedule, caller, None)


def _wrong() -> list[tuple[s.Schedule, str]]:
    cron = s.Trigger(cron=s.Cron(expression="61 * * * *"))
    many = [[after("a", filter_cel="true")]] * 17
    return [
        (s.Schedule(triggers=s.Triggers()), "1 to 16 triggers"),
        (s.Schedule(triggers=s.Triggers(any=[s.Alternative()])), "none of the alternatives empty"),
        (s.Schedule(triggers=alternatives(*many)), "1 to 16 triggers"),
        (s.Schedule(triggers=alternatives([cron])), "61"),
        (s.Schedule(triggers=alternatives([s.Trigger()])), "must be set"),
        (s.Schedule(triggers=alternatives([after("a")], [after("a")])), "several triggers have it"),
        (s.Schedule(triggers=alternatives([after("a-b")])), "letters, digits and underscores"),
        (s.Schedule(triggers=alternatives([after("a", filter_cel="((")])), "filter_cel"),
        (s.Schedule(cron=HOURLY, filter_cel="(("), "filter_cel"),
        (s.Schedule(triggers=alternatives([after("a")]), jitter_ms=5), "only a cron"),
        (s.Schedule(triggers=alternatives([after("a", jitter_ms=5)])), "only a cron"),
        (
            s.Schedule(triggers=alternatives([after("a", join_cel="1"), after("b")])),
            "all of several triggers of an alternative have it, or none",
        ),
        (s.Schedule(triggers=alternatives([after("a", join_cel="1")])), "all of several triggers"),
        (
            s.Schedule(
                triggers=alternatives([after("a", join_cel="(("), after("b", join_cel="1")])
            ),
            "join_cel",
        ),
    ]


@pytest.mark.parametrize(("schedule", "problem"), _wrong())
def test_what_triggers_cannot_be_is_told(schedule: s.Schedule, problem: str) -> None:
    schedule.name = schedule.workflow = "n"
    with pytest.raises(InvalidRequest) as caught:
        checking.check(schedule, d.WorkflowDefinition(name="n"))
    assert any(problem in each.text for each in caught.value.problems), caught.value.problems
