"""What ended long ago goes, whole, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text

from kaon_coordinator import retention
from kaon_coordinator.retention import DAY_US, Keep, Retention
from kaon_coordinator.store.base import Memo, Store
from kaon_coordinator.store.tables import metadata
from kaon_coordinator.store.thread import StoreThread
from kaon_wire.errors import NotFound
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import command_pb2, run_pb2
from kaonapi.step.v1 import step_pb2

from .build import batch, submitted
from .test_dataset_store import update

OLD_US, NEW_US = 10_000, 20_000
BEFORE_US = 15_000


def ended(store: Store, end_us: int, **changes: object) -> str:
    """A run that has ended, its history published, with rows in every table that a run has."""
    run = submitted(store, **changes)
    epoch = store.claim_partition(run.partition, "me")
    start = next(row for row in store.unapplied(run.partition) if row.run_id == run.run_id)
    over = batch(epoch, run, status=run_pb2.STATUS_SUCCEEDED, end_us=end_us)
    store.commit(replace(over, applied_inbox=[start.inbox_id], published={run.run_id: 2}))
    key = step_pb2.StepKey(run_id=run.run_id, path="work", attempt=1, generation=1)
    snapshot = store.read_snapshot(run.run_id)
    assert snapshot is not None
    store.put_snapshot(snapshot)
    store.archive_logs([log_pb2.LogLines(key=key, lines=[log_pb2.LogLine(sequence=1, text="x")])])
    return run.run_id


def rows_of(url: str, run_id: str) -> set[str]:
    """The tables that have a row of the run."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            table.name
            for table in metadata.sorted_tables
            if "run_id" in table.c
            and connection.execute(table.select().where(table.c.run_id == run_id)).first()
        }
    engine.dispose()
    return found


def test_an_old_run_leaves_no_row_in_any_table_and_a_newer_one_all(store: Store, url: str) -> None:
    old, new = ended(store, OLD_US), ended(store, NEW_US)
    before = rows_of(url, new)
    assert {"runs", "steps", "history", "snapshots", "log_leases", "log_chunks"} <= before
    assert store.remove_runs(BEFORE_US, 10) == [old]
    assert rows_of(url, old) == set()
    assert rows_of(url, new) == before
    with pytest.raises(NotFound):
        store.get_run("default", old)
    assert store.remove_runs(BEFORE_US, 10) == []


def test_a_run_that_has_not_ended_stays_however_old(store: Store) -> None:
    run = submitted(store)
    store.commit(batch(store.claim_partition(3, "me"), run))
    assert store.remove_runs(BEFORE_US, 10) == []


def test_a_run_with_a_command_that_waits_stays(store: Store) -> None:
    old = ended(store, OLD_US)
    store.add_command(
        "default", old, command_pb2.RunCommand(run_id=old, retry=command_pb2.RetryRun()), 1
    )
    assert store.remove_runs(BEFORE_US, 10) == []


def test_a_run_stays_as_long_as_its_fork_or_its_parent_does(store: Store) -> None:
    origin, parent = ended(store, OLD_US), ended(store, NEW_US)
    ended(store, NEW_US, fork_run_id=origin, fork_seq=1)
    ended(store, OLD_US, parent_run_id=parent, parent_path="sub")
    assert store.remove_runs(BEFORE_US, 10) == []
    assert len(store.remove_runs(NEW_US + 1, 10)) == 2, "the fork and the parent"
    assert len(store.remove_runs(NEW_US + 1, 10)) == 2, "then what they needed"


def test_output_goes_before_its_run_does(store: Store, url: str) -> None:
    old, new = ended(store, OLD_US), ended(store, NEW_US)
    assert store.remove_logs(BEFORE_US, 10) == [old]
    assert store.read_logs(old) == []
    assert len(store.read_logs(new)) == 1
    assert "history" in rows_of(url, old)
    assert store.remove_logs(BEFORE_US, 10) == []


def test_the_database_refuses_to_delete_the_history_of_a_run_that_is_there(
    store: Store, url: str
) -> None:
    old = ended(store, OLD_US)
    engine = create_engine(url)
    with pytest.raises(Exception, match="append-only"), engine.begin() as connection:
        connection.execute(text("DELETE FROM history"))
    engine.dispose()
    assert len(store.history(old)) == 2


async def test_one_round_deletes_all_that_is_due_in_small_transactions(
    open_another: Callable[[], Store],
) -> None:
    store = open_another()
    kept = ended(store, 200 * DAY_US)
    for _ in range(25):
        ended(store, DAY_US)
    thread = StoreThread(store)
    rounds = Retention(thread, Keep(run_days=90, log_days=0), lambda: 210 * DAY_US)
    assert await rounds.once() == 25
    assert await rounds.once() == 0
    assert store.get_run("default", kept).run_id == kept
    for_ever = Retention(thread, Keep(run_days=0, log_days=0), lambda: 9_000 * DAY_US)
    assert await for_ever.once() == 0


async def test_a_round_leaves_a_tenant_the_newest_updates_of_datasets(
    open_another: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_another()
    for number in range(5):
        store.record_dataset_update(1, update(key=str(number), time_us=(100 + number) * DAY_US))
    monkeypatch.setattr(retention, "MOST_UPDATES", 2)
    rounds = Retention(StoreThread(store), Keep(run_days=90, log_days=0), lambda: 191 * DAY_US)
    assert await rounds.once() == 0
    kept = store.dataset_updates_since("default", "ratings", 0, {}, 10)
    assert [each.key for each in kept] == ["3", "4"]


def test_memos_are_forgotten_after_a_while(store: Store) -> None:
    run = submitted(store)
    memos = [
        Memo(
            tenant="default", key=f"k{time}", outputs={}, run_id=run.run_id, path="w", time_us=time
        )
        for time in (1, 2, 30)
    ]
    store.commit(replace(batch(store.claim_partition(run.partition, "me"), run), memos=memos))
    assert sorted(store.remove_memos(10, 1) + store.remove_memos(10, 10)) == ["k1", "k2"]
    assert store.find_memo("default", "k30") is not None
    assert store.find_memo("default", "k1") is None
