"""What the owner of a partition may rely on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from kaon_coordinator.store.base import Fenced, KeysTaken, LoadedRun, PartitionBatch, Store
from kaon_wire.errors import Conflict, NotFound
from kaonapi.run.v1 import run_pb2

from .build import batch, block_row, event, new_run, run_row, step_row, submitted

ENDED = {"status": run_pb2.STATUS_SUCCEEDED, "end_us": 9_000}


def test_every_claim_raises_the_epoch_by_one(store: Store) -> None:
    assert [store.claim_partition(3, owner) for owner in ("a", "b", "a")] == [1, 2, 3]
    assert store.claim_partition(4, "a") == 1


def test_an_older_owner_writes_nothing(store: Store) -> None:
    run = submitted(store)
    (start,) = store.unapplied(3)
    old = store.claim_partition(3, "old")
    store.commit(batch(old, run))
    new = store.claim_partition(3, "new")
    late = replace(
        batch(old, run, first=3, last=4, **ENDED),
        applied_inbox=[start.inbox_id],
        published={run.run_id: 2},
    )
    with pytest.raises(Fenced, match="partition 3"):
        store.commit(late)
    found = store.load_run(run.run_id)
    assert (found.row.status, found.row.seq, found.published_seq) == (run_pb2.STATUS_RUNNING, 2, 0)
    assert len(store.history(run.run_id)) == 2
    assert store.unapplied(3) == [start]
    store.commit(replace(late, epoch=new))
    assert store.load_run(run.run_id).row.seq == 4


def test_a_run_begins_in_the_transaction_that_stores_it(store: Store) -> None:
    run, epoch = new_run(idempotency_key="once"), store.claim_partition(3, "me")
    store.commit(replace(batch(epoch, run), begun=[run]))
    found = store.load_run(run.run_id)
    assert (found.row.status, found.row.seq, found.params) == (
        run_pb2.STATUS_RUNNING,
        2,
        {"users": "10"},
    )
    assert store.unapplied(3) == []
    known, created = store.submit_run(new_run(idempotency_key="once"))
    assert (known.row.run_id, created) == (run.run_id, False)


def test_of_two_that_begin_together_with_one_key_one_is_turned_away(store: Store) -> None:
    epochs = store.claim_partition(3, "me"), store.claim_partition(4, "me")
    first = new_run(idempotency_key="once")
    second = new_run(idempotency_key="once", partition=4)
    batches = [
        replace(batch(epochs[0], first), begun=[first]),
        replace(batch(epochs[1], second), begun=[second]),
    ]
    with pytest.raises(KeysTaken) as taken:
        store.commit_all(batches)
    assert taken.value.run_ids == {second.run_id}
    assert store.load_some([first.run_id, second.run_id]) == []


def test_a_taken_key_leaves_nothing_of_the_transaction(store: Store) -> None:
    earlier = submitted(store, idempotency_key="once")
    epochs = store.claim_partition(3, "me"), store.claim_partition(4, "me")
    late = new_run(idempotency_key="once")
    other = new_run(idempotency_key="twice", partition=4)
    with pytest.raises(KeysTaken) as taken:
        store.commit_all(
            [
                replace(batch(epochs[0], late), begun=[late]),
                replace(batch(epochs[1], other), begun=[other]),
            ]
        )
    assert taken.value.run_ids == {late.run_id}
    assert store.load_some([late.run_id, other.run_id]) == []
    assert store.load_run(earlier.run_id).row.seq == 0


def test_an_older_owner_of_one_partition_does_not_spoil_what_it_writes_to_others(
    store: Store,
) -> None:
    lost, kept = submitted(store), submitted(store, partition=4)
    old, held = store.claim_partition(3, "me"), store.claim_partition(4, "me")
    store.claim_partition(3, "new")
    assert store.commit_all([batch(held, kept), batch(old, lost)]) == {3}
    assert [run.row.seq for run in store.load_some([kept.run_id])] == [2]
    assert [run.row.seq for run in store.load_some([lost.run_id])] == [0]
    assert store.history(lost.run_id) == []


def test_a_conflict_in_one_partition_leaves_nothing_of_the_others(store: Store) -> None:
    first, second = submitted(store), submitted(store, partition=4)
    epochs = store.claim_partition(3, "me"), store.claim_partition(4, "me")
    store.commit(batch(epochs[1], second))
    with pytest.raises(Conflict):
        store.commit_all([batch(epochs[0], first), batch(epochs[1], second, first=2, last=3)])
    assert store.history(first.run_id) == []


def test_commands_and_runs_of_several_partitions_are_read_together(store: Store) -> None:
    third, fourth, fifth = (submitted(store, partition=number) for number in (3, 4, 5))
    found = store.unapplied_of({3, 4})
    assert [(row.partition, row.run_id) for row in found] == [(3, third.run_id), (4, fourth.run_id)]
    assert [row.run_id for row in store.unapplied_of({3, 4, 5}, limit=2)] == [
        third.run_id,
        fourth.run_id,
    ]
    store.commit(batch(store.claim_partition(3, "me"), third))
    some = {run.run_id: run for run in store.load_some([third.run_id, fifth.run_id, "nobody"])}
    assert some.keys() == {third.run_id, fifth.run_id}
    assert some[third.run_id] == store.load_run(third.run_id)
    assert (some[fifth.run_id].row.seq, list(some[fifth.run_id].steps)) == (0, [])


def test_a_partition_that_nobody_owns_is_written_by_nobody(store: Store) -> None:
    run = submitted(store)
    for epoch in (0, 1):
        with pytest.raises(Fenced):
            store.commit(batch(epoch, run))
    store.claim_partition(3, "me")
    with pytest.raises(Fenced):
        store.commit(batch(2, run))


def test_a_batch_applies_commands_and_marks(store: Store) -> None:
    run = submitted(store)
    other = submitted(store)
    first, second = store.unapplied(3)
    epoch = store.claim_partition(3, "me")
    store.commit(PartitionBatch(partition=3, epoch=epoch, applied_inbox=[first.inbox_id]))
    assert store.unapplied(3) == [second]
    store.commit(batch(epoch, run, last=4))
    store.commit(PartitionBatch(partition=3, epoch=epoch, published={run.run_id: 3}))
    store.commit(PartitionBatch(partition=3, epoch=epoch, published={run.run_id: 2}))
    assert store.load_run(run.run_id).published_seq == 3
    assert store.load_run(other.run_id).published_seq == 0


@pytest.mark.parametrize("count", [1, 3, 4, 150])
def test_any_number_of_rows_are_stored_and_replaced_as_they_are(store: Store, count: int) -> None:
    run, epoch = submitted(store), store.claim_partition(3, "me")
    odd = ["NULL", '{"a,b"}', "'; --", "back\\slash", "", " Ünïcödé ☃ 😀\t", "%s %b"]
    texts = [f"{odd[number % len(odd)]}" for number in range(count)]

    def changed(times_us: int) -> PartitionBatch:
        first = 1 if times_us == 0 else count + 1
        steps = [
            step_row(
                f"s{number:03}",
                position=number,
                data=text + str(times_us),
                runner_id=text,
                generation=2**62 + number,
                retry_us=times_us * (number % 2),
                end_us=times_us,
            )
            for number, text in enumerate(texts)
        ]
        blocks = [
            block_row(f"b{number:03}", position=number, data=text + str(times_us))
            for number, text in enumerate(texts)
        ]
        return replace(
            batch(epoch, run, first=first, last=first + count - 1),
            steps={run.run_id: steps},
            blocks={run.run_id: blocks},
        )

    for batch_ in (changed(0), changed(1_700_000_000_000_000)):
        store.commit(batch_)
        found = store.load_run(run.run_id)
        assert list(found.steps) == batch_.steps[run.run_id]
        assert list(found.blocks) == batch_.blocks[run.run_id]
    assert store.history(run.run_id) == [event(run.run_id, seq + 1) for seq in range(2 * count)]


def test_of_many_rows_one_that_a_database_refuses_is_stored_with_none(
    url: str, store: Store
) -> None:
    run, epoch = submitted(store), store.claim_partition(3, "me")
    steps = [step_row(f"s{number}", attempt=2**40 if number == 7 else 1) for number in range(20)]
    if url.startswith("postgresql"):
        with pytest.raises(DBAPIError):
            store.commit(replace(batch(epoch, run), steps={run.run_id: steps}))
        assert store.history(run.run_id) == []
    store.commit(replace(batch(epoch, run), steps={run.run_id: steps[:7]}))
    assert len(store.list_steps(run.run_id)) == 7


def test_an_event_is_stored_once(store: Store) -> None:
    run = submitted(store)
    epoch = store.claim_partition(3, "me")
    store.commit(batch(epoch, run))
    with pytest.raises(Conflict, match="stored already"):
        store.commit(batch(epoch, run, first=2, last=3))
    assert store.load_run(run.run_id).row.seq == 2
    assert len(store.history(run.run_id)) == 2


@pytest.mark.parametrize("change", ["UPDATE history SET seq = seq + 10", "DELETE FROM history"])
def test_the_database_itself_keeps_history_as_it_is(store: Store, url: str, change: str) -> None:
    run = submitted(store)
    store.commit(batch(store.claim_partition(3, "me"), run))
    engine = create_engine(url)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(change))
    engine.dispose()
    assert len(store.history(run.run_id)) == 2


def test_rows_are_replaced_by_newer_ones(store: Store) -> None:
    run = submitted(store)
    epoch = store.claim_partition(3, "me")
    store.commit(batch(epoch, run))
    ended = step_row(
        status=run_pb2.STATUS_SUCCEEDED, end_us=3_000, generation=2, data='{"type":"r"}'
    )
    more = step_row("cycle#2/regions[ÜS]/work", position=5)
    block = block_row(status=run_pb2.STATUS_FAILED, data='{"total":3}')
    store.commit(
        PartitionBatch(
            partition=3,
            epoch=epoch,
            steps={run.run_id: [ended, more]},
            blocks={run.run_id: [block]},
        )
    )
    assert store.list_steps(run.run_id) == [ended, more]
    assert store.list_blocks(run.run_id) == [block]


def test_recovery_reads_unfinished_runs_with_everything_they_had(store: Store) -> None:
    run, fresh, ended = (submitted(store, now_us=number) for number in range(3))
    elsewhere = submitted(store, partition=4)
    epoch = store.claim_partition(3, "me")
    rows = [step_row(f"regions[{n}]/work", position=n) for n in range(3, 0, -1)]
    store.commit(batch(epoch, ended, **ENDED))
    store.commit(
        PartitionBatch(
            partition=3,
            epoch=epoch,
            history=[event(run.run_id, 1)],
            runs=[run_row(run.run_id, seq=1, cancel_requested=True)],
            steps={run.run_id: rows},
            blocks={run.run_id: [block_row()]},
            published={run.run_id: 1},
        )
    )
    first, second = store.load_runs(3)
    assert first == LoadedRun(
        tenant="default",
        workflow="nightly",
        version=run.version,
        partition=3,
        params={"users": "10"},
        submitter="ada",
        create_us=0,
        row=run_row(run.run_id, seq=1, cancel_requested=True),
        published_seq=1,
        steps=rows[::-1],
        blocks=[block_row()],
    )
    assert (second.run_id, list(second.steps), list(second.blocks)) == (fresh.run_id, [], [])
    assert [found.run_id for found in store.load_runs(4)] == [elsewhere.run_id]
    assert store.load_runs(5) == []
    assert store.load_run(run.run_id) == first
    assert store.load_run(ended.run_id).row.status == run_pb2.STATUS_SUCCEEDED
    with pytest.raises(NotFound):
        store.load_run("nobody")


def test_recovery_does_not_look_at_runs_that_are_done_with(store: Store, url: str) -> None:
    epoch = store.claim_partition(3, "me")
    for _ in range(20):
        run = submitted(store)
        store.commit(batch(epoch, run, **ENDED))
        store.commit(PartitionBatch(partition=3, epoch=epoch, published={run.run_id: 2}))
    submitted(store)
    engine = create_engine(url)
    with engine.begin() as connection:
        if url.startswith("sqlite"):
            query = "EXPLAIN QUERY PLAN SELECT * FROM runs WHERE partition = 3 AND open = 1"
        else:
            # It is right to scan a table as small as this one; the question is whether the index would serve.
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            query = "EXPLAIN SELECT * FROM runs WHERE partition = 3 AND open = 1"
        plan = str(connection.execute(text(query)).all())
        looked_at = connection.execute(
            text("SELECT count(*) FROM runs WHERE partition = 3 AND open = 1")
        ).scalar()
    engine.dispose()
    assert "runs_open_idx" in plan
    assert looked_at == 1


def test_history_past_the_marks_is_published_again(store: Store) -> None:
    ended, going = submitted(store, run_id="a"), submitted(store, run_id="b")
    quiet = submitted(store, run_id="c")
    epoch = store.claim_partition(3, "me")
    store.commit(batch(epoch, ended, last=3, **ENDED))
    store.commit(batch(epoch, going, last=3))
    store.commit(batch(epoch, quiet, last=1))
    store.commit(PartitionBatch(partition=3, epoch=epoch, published={"a": 2, "b": 1, "c": 1}))
    assert [(it.run_id, it.seq) for it in store.unpublished(3)] == [("a", 3), ("b", 2), ("b", 3)]
    assert store.unpublished(3, limit=1) == [event("a", 3)]
    assert store.unpublished(4) == []
    store.commit(PartitionBatch(partition=3, epoch=epoch, published={"a": 3, "b": 3}))
    assert store.unpublished(3) == []


def test_events_are_stored_byte_for_byte_the_same_whatever_the_order_of_their_maps(
    store: Store, url: str
) -> None:
    run = submitted(store)
    store.commit(batch(store.claim_partition(3, "me"), run, last=1))
    engine = create_engine(url)
    with engine.begin() as connection:
        data = connection.execute(text("SELECT event FROM history")).scalar_one()
    engine.dispose()
    turned = event(run.run_id, 1)
    turned.step_became_ready.inputs_json.clear()
    turned.step_became_ready.inputs_json.update({"a": "1", "b": "2"})
    assert bytes(data) == turned.SerializeToString(deterministic=True)


def test_the_newest_epochs_of_partitions_are_read(store: Store) -> None:
    for partition in (0, 1, 1):
        store.claim_partition(partition, "owner")
    assert store.partition_epochs([1, 2]) == {1: 2}
    assert store.partition_epochs([]) == {}
