"""The updates of datasets."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from kaon_coordinator.store.base import DatasetUpdate, Fenced, ScheduleRecord, ScheduleStep, Store
from kaonapi.schedule.v1 import schedule_pb2

from .build import batch, new_run, submitted

ALL = 1_000


def update(**changes: object) -> DatasetUpdate:
    """What somebody tells."""
    made = DatasetUpdate(
        tenant="default",
        dataset="ratings",
        part="",
        key="k",
        time_us=10,
        outputs={"rows": "3"},
        teller="ada",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def of_run(run_id: str, **changes: object) -> DatasetUpdate:
    """What the success of a step is."""
    made = {"run_id": run_id, "workflow": "nightly", "path": "load", "key": f"{run_id}:2"}
    return update(**(made | changes))


def stored(store: Store, *changes: dict[str, object]) -> str:
    """A run whose first commit brought these updates."""
    run = submitted(store)
    epoch = store.claim_partition(run.partition, "owner")
    updates = [of_run(run.run_id, **each) for each in changes]
    store.commit(replace(batch(epoch, run), dataset_updates=updates))
    return run.run_id


def since(store: Store, positions: dict[int, int] | None = None, since_us: int = 0) -> list[str]:
    found = store.dataset_updates_since("default", "ratings", since_us, positions or {}, ALL)
    return [each.key for each in found]


def test_a_commit_adds_updates_and_their_outputs(store: Store) -> None:
    run_id = stored(store, {"part": "a"}, {"dataset": "other"})
    (kept,) = store.dataset_updates_since("default", "ratings", 0, {}, ALL)
    assert (kept.run_id, kept.path, kept.part) == (run_id, "load", "a")
    assert (kept.outputs, kept.partition, kept.started) == ({"rows": "3"}, 3, ())
    assert store.dataset_updates_since("other", "ratings", 0, {}, ALL) == []


def test_a_fenced_owner_adds_no_update(store: Store) -> None:
    run = submitted(store)
    epoch = store.claim_partition(run.partition, "old")
    store.claim_partition(run.partition, "new")
    late = replace(batch(epoch, run), dataset_updates=[of_run(run.run_id)])
    try:
        store.commit(late)
    except Fenced:
        pass
    assert since(store) == []


def test_what_is_told_twice_with_one_key_is_one_update(store: Store) -> None:
    first, created = store.record_dataset_update(1, update())
    again, anew = store.record_dataset_update(1, update(part="other"))
    assert (created, anew, again) == (True, False, first)
    other, created = store.record_dataset_update(1, update(dataset="other"))
    assert created
    assert other.update_id > first.update_id


def test_updates_are_known_by_partition_and_id(store: Store) -> None:
    for partition, key in ((1, "a"), (2, "b"), (1, "c")):
        store.record_dataset_update(partition, update(key=key))
    found = store.dataset_updates_since("default", "ratings", 0, {}, ALL)
    ids = {each.key: each.update_id for each in found}
    assert list(ids) == ["a", "b", "c"] == sorted(ids, key=ids.__getitem__)
    assert since(store, {1: ids["a"]}) == ["b", "c"]
    assert since(store, {1: ids["c"], 7: 99}) == ["b"]
    assert since(store, {1: ids["c"], 2: ids["b"]}) == []
    assert since(store, since_us=11) == []
    assert len(store.dataset_updates_since("default", "ratings", 0, {}, 2)) == 2


def test_datasets_are_listed_by_name_with_their_newest_update(store: Store) -> None:
    for key, dataset in (("1", "b"), ("2", "a"), ("3", "b")):
        store.record_dataset_update(1, update(key=key, dataset=dataset))
    store.record_dataset_update(1, update(tenant="other", dataset="c"))
    found = store.list_datasets("default", "", ALL)
    told = [(each.name, each.updates, each.newest.key) for each in found]
    assert told == [("a", 1, "2"), ("b", 2, "3")]
    assert [each.name for each in store.list_datasets("default", "a", 1)] == ["b"]
    assert store.find_dataset("default", "b") == found[1]
    assert store.find_dataset("default", "c") is None


def test_updates_of_a_dataset_or_a_part_are_listed_newest_first(store: Store) -> None:
    for key, part in (("1", "x"), ("2", "y"), ("3", "x")):
        store.record_dataset_update(1, update(key=key, part=part))

    def listed(part: str | None, before_id: int = 2**63 - 1, limit: int = ALL) -> list[str]:
        found = store.list_dataset_updates("default", "ratings", part, before_id, limit)
        return [each.key for each in found]

    assert listed(None) == ["3", "2", "1"]
    assert listed("x") == ["3", "1"]
    newest = store.list_dataset_updates("default", "ratings", None, 2**63 - 1, 1)[0]
    assert listed(None, newest.update_id, 1) == ["2"]
    assert listed("") == []


def test_producers_are_the_steps_with_their_newest_updates(store: Store) -> None:
    store.record_dataset_update(1, update())
    stored(store, {"path": "a"}, {"path": "b", "key": "x"})
    newest = stored(store, {"path": "a", "key": "y"})
    found = store.dataset_producers("default", "ratings", ALL)
    assert [(each.path, each.key) for each in found] == [("a", "y"), ("b", "x")]
    assert found[0].run_id == newest
    assert len(store.dataset_producers("default", "ratings", 1)) == 1


def test_the_runs_of_a_schedule_are_kept_with_their_updates(store: Store) -> None:
    kept, _ = store.record_dataset_update(1, update())
    record = ScheduleRecord(
        tenant="default",
        partition=1,
        definition=schedule_pb2.Schedule(name="follow", workflow="w"),
        next_us=0,
        state="{}",
        revision=0,
        create_us=1,
    )
    schedule, _ = store.put_schedule(record)
    epoch = store.claim_partition(1, "owner")
    run = new_run(because_of=(kept.update_id,), idempotency_key="once")
    step = ScheduleStep(schedule=schedule, next_us=1, state="{}", runs=[run])
    assert store.advance_schedule(epoch, step) is not None
    assert store.advance_schedule(epoch, step) is None, "it has changed"
    (found,) = store.list_dataset_updates("default", "ratings", None, 2**63 - 1, ALL)
    assert list(found.started) == [run.run_id]


def test_old_updates_are_removed_and_their_ids_do_not_come_again(store: Store) -> None:
    kept, _ = store.record_dataset_update(1, update(key="1", time_us=10))
    newest, _ = store.record_dataset_update(1, update(key="2", time_us=20))
    assert store.remove_dataset_updates(20, ALL) == ["ratings"]
    assert store.remove_dataset_updates(99, ALL) == ["ratings"]
    assert store.remove_dataset_updates(99, ALL) == []
    again, created = store.record_dataset_update(1, update(key="1"))
    assert created
    assert again.update_id > newest.update_id > kept.update_id


def test_the_oldest_updates_of_a_tenant_with_too_many_are_removed(store: Store) -> None:
    for key in "abcd":
        store.record_dataset_update(1, update(key=key))
    store.record_dataset_update(1, update(tenant="other"))
    assert len(store.trim_dataset_updates(2, 1)) == 1
    assert len(store.trim_dataset_updates(2, ALL)) == 1
    assert store.trim_dataset_updates(2, ALL) == []
    assert since(store) == ["c", "d"]
    assert store.find_dataset("other", "ratings") is not None


def test_updates_of_a_partition_become_visible_in_the_order_of_their_ids(
    store: Store, open_another: Callable[[], Store]
) -> None:
    """Who reads up to an id has seen all of the partition below it, however many tell at once."""
    others = [open_another() for _ in range(3)]
    seen: list[int] = []

    def tell(other: Store, name: str) -> None:
        for number in range(20):
            other.record_dataset_update(1, update(key=f"{name}{number}"))

    threads = [
        threading.Thread(target=tell, args=(other, str(number)))
        for number, other in enumerate(others)
    ]
    for thread in threads:
        thread.start()
    while len(seen) < 60:
        positions = {1: seen[-1]} if seen else {}
        found = store.dataset_updates_since("default", "ratings", 0, positions, ALL)
        seen += [each.update_id for each in found]
    for thread in threads:
        thread.join()
    assert len(since(store)) == 60
    assert seen == sorted(set(seen))
