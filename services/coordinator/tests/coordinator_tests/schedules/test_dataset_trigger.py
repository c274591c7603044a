"""The trigger `dataset_updated`: the scheduler over a real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kaon_coordinator.problems import InvalidRequest
from kaon_coordinator.schedules import checking
from kaon_coordinator.schedules.combining import MOST_JOINED
from kaon_coordinator.store.base import Fenced
from kaon_wire import canonical
from kaonapi.schedule.v1 import schedule_pb2 as s
from kaonapi.workflow.v1 import definition_pb2 as d

from ..store.build import batch, new_run
from ..store.test_dataset_store import of_run, update
from .test_scheduler import Desk

RATINGS = s.DatasetUpdated(dataset="ratings")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    desk.register("follow", told=d.VALUE_TYPE_STRING)
    yield desk
    await desk.thread.close()


def tell(desk: Desk, key: str, **fields: Any) -> int:
    """Somebody tells of an update, a second after the last one."""
    desk.now_us += 1_000_000
    told = update(key=key, time_us=desk.now_us, **fields)
    return desk.store.record_dataset_update(0, told)[0].update_id


def follow(desk: Desk, cel: str = "event.partition", **fields: Any) -> None:
    when = {} if "triggers" in fields else {"dataset_updated": RATINGS}
    desk.put(workflow="follow", params_cel={"told": cel}, **when, **fields)


def told(desk: Desk) -> list[str]:
    return sorted(canonical.loads(run.params["told"]) for run in desk.runs("follow"))


async def test_each_update_gives_one_run_however_many_look(desk: Desk) -> None:
    tell(desk, "before", part="before")
    desk.now_us += 1_000_000
    follow(desk, "event.partition + ' ' + string(event.outputs.rows) + ' ' + event.by")
    await desk.scan()
    tell(desk, "1", part="a")
    tell(desk, "2", part="b", outputs={"rows": "7"})
    tell(desk, "3", dataset="other")
    await asyncio.gather(*(each.scan() for each in (desk.scheduler, desk.another())))
    await desk.another().scan()
    await desk.scan(times=2)
    assert told(desk) == ["a 3 ada", "b 7 ada"]


async def test_an_update_that_becomes_visible_later_is_not_left_out(desk: Desk) -> None:
    """A transaction of another partition may have an earlier time and be committed later."""
    follow(desk)
    await desk.scan()
    early = desk.now_us
    tell(desk, "1", part="a")
    await desk.scan()
    desk.store.record_dataset_update(2, update(key="2", part="b", time_us=early))
    await desk.scan(times=2)
    assert told(desk) == ["a", "b"]


async def test_an_owner_that_crashes_before_its_commit_makes_no_second_run(desk: Desk) -> None:
    follow(desk)
    await desk.scan()
    tell(desk, "1", part="a")
    schedule = desk.store.get_schedule("default", "nightly")
    desk.store.claim_partition(schedule.partition, "another")
    await desk.scan()
    assert told(desk) == [], "its epoch is over: nothing of it is kept"
    desk.epochs[schedule.partition] = desk.store.claim_partition(schedule.partition, "me")
    await desk.scan(times=2)
    assert told(desk) == ["a"]


async def test_the_success_of_a_step_is_an_update_exactly_once(desk: Desk) -> None:
    follow(desk, "event.workflow + ' ' + event.path + ' ' + event.run_id")
    await desk.scan()
    run, _ = desk.store.submit_run(new_run(partition=2))
    done = batch(desk.epochs[2], run, first=1, last=2)
    done = replace(done, dataset_updates=[of_run(run.run_id, time_us=desk.now_us)])
    desk.store.commit(done)
    await desk.scan(times=2)
    desk.store.claim_partition(2, "another")
    late = replace(done, dataset_updates=[of_run(run.run_id, key="late", time_us=desk.now_us)])
    with pytest.raises(Fenced):
        desk.store.commit(late)
    await desk.scan()
    assert told(desk) == [f"nightly load {run.run_id}"]


async def test_the_updates_by_its_own_runs_start_none(desk: Desk) -> None:
    follow(desk)
    await desk.scan()
    tell(desk, "1", part="own", origin="schedule:nightly")
    tell(desk, "2", part="of another", origin="schedule:other")
    await desk.scan(times=2)
    assert told(desk) == ["of another"]


async def test_updates_of_all_of_some_datasets_within_a_time_give_one_run(desk: Desk) -> None:
    trigger = [
        s.Trigger(name="ratings", dataset_updated=RATINGS, filter_cel="event.partition != 'no'"),
        s.Trigger(name="users", dataset_updated=s.DatasetUpdated(dataset="users")),
    ]
    both = s.Triggers(any=[s.Alternative(all=trigger, within_ms=60_000)])
    follow(desk, "event.ratings.partition + event.users.partition", triggers=both)
    await desk.scan()
    first = tell(desk, "1", part="a")
    tell(desk, "2", part="no")
    await desk.scan()
    assert told(desk) == []
    second = tell(desk, "3", dataset="users", part="u")
    await desk.another().scan()
    await desk.scan(times=2)
    assert told(desk) == ["au"]
    (run,) = desk.runs("follow")
    for name, update_id in (("ratings", first), ("users", second)):
        found = desk.store.list_dataset_updates("default", name, None, 2**62, 9)
        started = {each.update_id: list(each.started) for each in found}
        assert started[update_id] == [run.run_id]
    tell(desk, "4", part="b")
    desk.now_us += 120_000_000
    tell(desk, "5", dataset="users", part="v")
    await desk.scan(times=2)
    assert told(desk) == ["au"], "too late"


async def test_a_run_that_waits_for_the_one_before_knows_its_update(desk: Desk) -> None:
    follow(desk, overlap=s.OVERLAP_BUFFER)
    await desk.scan()
    tell(desk, "1", part="a")
    await desk.scan()
    tell(desk, "2", part="b")
    await desk.scan(times=2)
    assert told(desk) == ["a"]
    desk.end(desk.runs("follow")[0])
    await desk.another().scan()
    assert told(desk) == ["a", "b"]
    newest = desk.store.list_dataset_updates("default", "ratings", None, 2**62, 1)[0]
    assert list(newest.started) == [desk.runs("follow")[-1].run_id]


def test_the_name_of_a_dataset_is_checked() -> None:
    schedule = s.Schedule(name="n", workflow="w", dataset_updated=s.DatasetUpdated(dataset="No!"))
    with pytest.raises(InvalidRequest, match=r"dataset_updated\.dataset 'No!': use lower-case"):
        checking.check(schedule, d.WorkflowDefinition(name="w"))


def by_partition(**fields: Any) -> s.Triggers:
    """Updates of both datasets, for the same partition."""
    trigger = [
        s.Trigger(name="ratings", dataset_updated=RATINGS, join_cel="event.partition"),
        s.Trigger(
            name="users",
            dataset_updated=s.DatasetUpdated(dataset="users"),
            join_cel="event.partition",
        ),
    ]
    return s.Triggers(any=[s.Alternative(all=trigger, **fields)])


async def test_updates_of_several_datasets_join_by_partition_in_whatever_order(desk: Desk) -> None:
    follow(desk, "event.ratings.partition + event.users.partition", triggers=by_partition())
    await desk.scan()
    for key, part in enumerate("abc"):
        tell(desk, f"r{key}", part=part)
    await desk.another().scan()
    tell(desk, "u1", dataset="users", part="c")
    tell(desk, "u2", dataset="users", part="x")
    await asyncio.gather(*(each.scan() for each in (desk.scheduler, desk.another())))
    await desk.scan(times=2)
    assert told(desk) == ["cc"]
    tell(desk, "u3", dataset="users", part="a")
    await desk.another().scan()
    tell(desk, "r4", part="x")
    # What was used does not count again.
    tell(desk, "u4", dataset="users", part="c")
    await desk.scan(times=2)
    assert told(desk) == ["aa", "cc", "xx"]
    tell(desk, "r5", part="c")
    await desk.scan(times=2)
    assert told(desk) == ["aa", "cc", "cc", "xx"]


async def test_what_joins_too_late_or_by_nothing_does_not_count(desk: Desk) -> None:
    late = by_partition(within_ms=60_000)
    late.any[0].all[1].join_cel = "event.outputs.day"
    follow(desk, "event.ratings.partition", triggers=late)
    await desk.scan()
    tell(desk, "r1", part="a")
    tell(desk, "r2", part="b")
    tell(desk, "u1", dataset="users", part="a")
    await desk.scan()
    assert desk.state().last_error.startswith("join: ")
    desk.now_us += 50_000_000
    tell(desk, "r3", part="b")
    desk.now_us += 50_000_000
    for key, part in enumerate("ab"):
        tell(desk, f"u2{key}", dataset="users", outputs={"day": canonical.dumps(part)})
    await desk.scan(times=2)
    assert told(desk) == ["b"]
    assert len(desk.state().waiting) == 1


async def test_the_oldest_of_too_many_values_that_wait_is_forgotten_and_told(desk: Desk) -> None:
    follow(desk, "event.ratings.partition", triggers=by_partition())
    await desk.scan()
    for number in range(MOST_JOINED + 1):
        tell(desk, f"r{number}", part=f"p{number}")
    await desk.scan()
    assert 'ratings: "p0" waited for the others, and was forgotten' in desk.state().last_error
    for number in (0, 1):
        tell(desk, f"u{number}", dataset="users", part=f"p{number}")
    await desk.scan(times=2)
    assert told(desk) == ["p1"]
