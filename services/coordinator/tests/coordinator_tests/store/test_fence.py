"""The fence while owners really work at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from kaon_coordinator.store.base import Fenced, PartitionBatch, Store
from kaonapi.run.v1 import history_pb2

from .build import run_row, submitted

OWNERS = 4
CLAIMS = 12
COMMITS = 40


def _own(store: Store, run_id: str, together: Barrier) -> int:
    """Claims the partition again and again and writes under each epoch until another owner has it; returns the count of writes."""
    together.wait()
    written = 0
    for _ in range(CLAIMS):
        epoch = store.claim_partition(3, "owner")
        # Nothing of an older owner can follow, so this stays true for as long as the epoch does.
        seq = store.load_run(run_id).row.seq
        try:
            for _ in range(COMMITS):
                seq += 1
                store.commit(_batch(run_id, seq, epoch))
                written += 1
        except Fenced:
            pass
    return written


def _batch(run_id: str, seq: int, epoch: int) -> PartitionBatch:
    # The epoch travels in the event, so that the history tells who wrote it.
    ready = history_pb2.StepBecameReady(path="work", attempt=1, generation=epoch)
    event = history_pb2.HistoryEvent(run_id=run_id, seq=seq, step_became_ready=ready)
    return PartitionBatch(
        partition=3, epoch=epoch, history=[event], runs=[run_row(run_id, seq=seq)]
    )


def test_owners_that_follow_one_another_quickly_never_mix(
    open_another: Callable[[], Store],
) -> None:
    stores = [open_another() for _ in range(OWNERS)]
    run = submitted(stores[0])
    together = Barrier(OWNERS)
    with ThreadPoolExecutor(OWNERS) as threads:
        # A late write of an older owner would be a Conflict here, or an epoch out of order below.
        written = sum(threads.map(lambda store: _own(store, run.run_id, together), stores))
    history = stores[0].history(run.run_id, limit=100_000)
    epochs = [event.step_became_ready.generation for event in history]
    assert [event.seq for event in history] == list(range(1, written + 1))
    assert epochs == sorted(epochs)
    assert stores[0].load_run(run.run_id).row.seq == written
    assert stores[0].claim_partition(3, "last") == OWNERS * CLAIMS + 1
    # The test means something only if owners lost the partition before or in the middle of their work.
    assert written < OWNERS * CLAIMS * COMMITS
