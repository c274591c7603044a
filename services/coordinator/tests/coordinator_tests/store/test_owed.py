"""What a batch holds besides the history and rows of its own runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kaon_coordinator.store.base import Fenced, Message, PartitionBatch, Store
from kaonapi.run.v1 import command_pb2, run_pb2

from .build import batch, block_row, new_run, run_row, step_row, submitted

ENDED = {"status": run_pb2.STATUS_SUCCEEDED, "end_us": 9_000}


def test_rows_that_are_there_no_more_are_dropped_and_may_come_again(store: Store) -> None:
    run, other = submitted(store), submitted(store)
    epoch = store.claim_partition(3, "me")
    rows = [step_row("a"), step_row("b", position=2), step_row("ab", position=3)]
    for each in (run, other):
        batch_ = PartitionBatch(
            partition=3,
            epoch=epoch,
            steps={each.run_id: rows},
            blocks={each.run_id: [block_row("a#1")]},
        )
        store.commit(batch_)
    again = step_row("b", position=9)
    gone = PartitionBatch(
        partition=3,
        epoch=epoch,
        dropped={run.run_id: ["a", "b", "a#1"]},
        steps={run.run_id: [again]},
    )
    store.commit(gone)
    assert [row.path for row in store.list_steps(run.run_id)] == ["ab", "b"]
    assert store.list_steps(run.run_id)[1] == again
    assert store.list_blocks(run.run_id) == []
    assert len(store.list_steps(other.run_id)) == 3
    assert len(store.list_blocks(other.run_id)) == 1


def test_a_child_comes_with_its_parents_events_or_not_at_all(store: Store) -> None:
    parent = submitted(store)
    child = new_run(
        partition=5,
        priority=7,
        parent_run_id=parent.run_id,
        parent_path="call",
        depth=1,
        origin="run:parent",
    )
    epoch = store.claim_partition(3, "me")
    with pytest.raises(Fenced):
        store.commit(replace(batch(epoch + 1, parent), new_runs=[child]))
    assert store.unapplied(5) == []
    store.commit(replace(batch(epoch, parent), new_runs=[child]))
    found = store.get_run("default", child.run_id)
    assert (found.parent_run_id, found.parent_path, found.depth) == (parent.run_id, "call", 1)
    assert (found.row.priority, found.row.status, found.origin) == (
        7,
        run_pb2.STATUS_PENDING,
        "run:parent",
    )
    (start,) = store.unapplied(5)
    assert (start.run_id, start.command.WhichOneof("command")) == (child.run_id, "start")


def test_a_forked_run_knows_where_it_comes_from(store: Store) -> None:
    fork = new_run(fork_run_id="other", fork_seq=17, fork_reset=["a", "b"], idempotency_key="f")
    run, _ = store.submit_run(fork)
    assert store.load_run(run.run_id).fork_seq == 17
    assert store.get_run("default", run.run_id).fork_run_id == "other"
    (start,) = store.unapplied(3)
    assert list(start.command.start.reset) == ["a", "b"]
    assert store.submit_run(replace(fork, run_id="again")) == (run, False)


def test_a_word_to_another_run_waits_in_the_inbox_of_its_partition(store: Store) -> None:
    child, parent = submitted(store, partition=3), submitted(store, partition=6)
    epoch = store.claim_partition(3, "me")
    ended = command_pb2.ChildEnded(path="call", child_run_id=child.run_id)
    command = command_pb2.RunCommand(run_id=parent.run_id, child_ended=ended)
    nobody = command_pb2.RunCommand(run_id="nobody", child_ended=ended)
    told = [
        Message(run_id=parent.run_id, command=command, now_us=7),
        Message(run_id="nobody", command=nobody, now_us=7),
    ]
    with pytest.raises(Fenced):
        store.commit(replace(batch(epoch + 1, child, **ENDED), messages=told))
    store.commit(replace(batch(epoch, child, **ENDED), messages=told))
    start, word = store.unapplied(6)
    assert start.command.HasField("start")
    assert (word.run_id, word.command, word.create_us) == (parent.run_id, command, 7)


def test_what_the_owner_keeps_of_a_run_is_there_again(store: Store) -> None:
    run = submitted(store)
    epoch = store.claim_partition(3, "me")
    row = run_row(run.run_id, priority=4, outputs='{"a":"1"}', data='{"late":true}')
    store.commit(PartitionBatch(partition=3, epoch=epoch, runs=[row]))
    assert store.load_run(run.run_id).row == row


@pytest.mark.parametrize("status", [run_pb2.STATUS_TIMED_OUT, run_pb2.STATUS_FAILED])
def test_a_run_that_has_ended_can_be_opened_again(
    store: Store, status: run_pb2.Status.ValueType
) -> None:
    run = submitted(store)
    epoch = store.claim_partition(3, "me")
    store.commit(batch(epoch, run, status=status, end_us=9_000))
    store.commit(PartitionBatch(partition=3, epoch=epoch, published={run.run_id: 2}))
    assert store.load_runs(3) == []
    retry = command_pb2.RunCommand(run_id=run.run_id, retry=command_pb2.RetryRun())
    store.add_command("default", run.run_id, retry, 2_000)
    assert store.unapplied(3)[-1].command == retry
    store.commit(batch(epoch, run, first=3, last=4))
    (opened,) = store.load_runs(3)
    assert (opened.run_id, opened.row.status) == (run.run_id, run_pb2.STATUS_RUNNING)
    assert [event.seq for event in store.unpublished(3)] == [3, 4]
    # A mark that comes late, from before it was opened again, does not close it.
    store.commit(PartitionBatch(partition=3, epoch=epoch, published={run.run_id: 3}))
    store.commit(batch(epoch, run, first=5, last=5, status=status, end_us=9_900))
    assert store.load_runs(3) == []
    assert [event.seq for event in store.unpublished(3)] == [4, 5]
    store.commit(PartitionBatch(partition=3, epoch=epoch, published={run.run_id: 5}))
    assert store.unpublished(3) == []
