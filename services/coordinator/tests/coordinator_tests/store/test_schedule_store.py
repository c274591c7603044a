"""Schedules: what their owner decides is written whole and once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from kaon_coordinator.store.base import Fenced, Message, ScheduleRecord, ScheduleStep, Store
from kaon_wire.errors import NotFound
from kaonapi.run.v1 import command_pb2
from kaonapi.schedule.v1 import schedule_pb2

from .build import new_run, submitted


def _schedule(name: str = "nightly", **changes: object) -> ScheduleRecord:
    definition = schedule_pb2.Schedule(
        name=name, workflow="w", cron=schedule_pb2.Cron(expression="0 3 * * *")
    )
    record = ScheduleRecord(
        tenant="default",
        partition=3,
        definition=definition,
        next_us=1_000,
        state="{}",
        revision=0,
        create_us=5,
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def test_a_schedule_is_kept_replaced_and_deleted(store: Store) -> None:
    first, created = store.put_schedule(_schedule())
    assert (created, first) == (True, _schedule(revision=1))
    assert store.get_schedule("default", "nightly") == first
    second, created = store.put_schedule(_schedule(next_us=2_000, create_us=9, state='{"a":1}'))
    assert not created
    assert (second.next_us, second.create_us, second.revision) == (2_000, 5, 2)
    assert store.list_schedules("default") == [second]
    assert store.list_schedules("other") == []
    with pytest.raises(NotFound):
        store.delete_schedule("other", "nightly")
    store.delete_schedule("default", "nightly")
    with pytest.raises(NotFound, match="nightly"):
        store.get_schedule("default", "nightly")


def test_what_is_due_is_found_by_partition(store: Store) -> None:
    for name, next_us, partition in (("a", 300, 3), ("b", 100, 4), ("c", 200, 5), ("d", 900, 3)):
        store.put_schedule(_schedule(name, next_us=next_us, partition=partition))
    assert [found.name for found in store.due_schedules([3, 4], 300)] == ["b", "a"]
    assert [found.name for found in store.due_schedules([3, 4], 300, limit=1)] == ["b"]
    assert store.due_schedules([], 300) == []


def test_a_run_and_the_next_time_of_its_schedule_are_written_together(store: Store) -> None:
    old = store.claim_partition(3, "old")
    schedule, _ = store.put_schedule(_schedule())
    previous = submitted(store, partition=6)
    cancel = command_pb2.RunCommand(run_id=previous.run_id, cancel=command_pb2.RequestRunCancel())
    step = ScheduleStep(
        schedule=schedule,
        next_us=2_000,
        state='{"last":1}',
        runs=[
            new_run(partition=4, idempotency_key="schedule:nightly:1000", origin="schedule:nightly")
        ],
        messages=[Message(run_id=previous.run_id, command=cancel, now_us=1)],
    )
    epoch = store.claim_partition(3, "new")
    with pytest.raises(Fenced):
        store.advance_schedule(old, step)
    assert store.get_schedule("default", "nightly") == schedule
    answers = store.advance_schedule(epoch, step)
    assert answers is not None
    ((run, created),) = [answer for answer in answers if isinstance(answer, tuple)]
    assert created
    assert run.origin == "schedule:nightly"
    now = store.get_schedule("default", "nightly")
    assert (now.next_us, now.state, now.revision) == (2_000, '{"last":1}', 2)
    assert [row.run_id for row in store.unapplied(4)] == [run.run_id]
    assert store.unapplied(6)[-1].command == cancel


@pytest.mark.parametrize("again", [True, False])
def test_nothing_is_submitted_for_a_schedule_that_has_changed_meanwhile(
    store: Store, again: bool
) -> None:
    epoch = store.claim_partition(3, "me")
    schedule, _ = store.put_schedule(_schedule())
    if again:
        store.put_schedule(_schedule(next_us=5_000))
    else:
        store.delete_schedule("default", "nightly")
        store.put_schedule(_schedule(create_us=77))
    step = ScheduleStep(schedule=schedule, next_us=2_000, state="{}", runs=[new_run()])
    assert store.advance_schedule(epoch, step) is None
    assert store.unapplied(3) == []


def test_a_time_gives_one_run_however_many_try(open_another: Callable[[], Store]) -> None:
    stores = [open_another() for _ in range(4)]
    epoch = stores[0].claim_partition(3, "me")
    schedule, _ = stores[0].put_schedule(_schedule())
    together = Barrier(len(stores))

    def submit(store: Store) -> bool:
        together.wait()
        step = ScheduleStep(schedule=schedule, next_us=2_000, state="{}", runs=[new_run()])
        return store.advance_schedule(epoch, step) is not None

    with ThreadPoolExecutor(len(stores)) as threads:
        assert sorted(threads.map(submit, stores)) == [False, False, False, True]
    assert len(stores[0].unapplied(3)) == 1
