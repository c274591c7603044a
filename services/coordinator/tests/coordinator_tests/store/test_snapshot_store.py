"""Snapshots keep the state of a run as it was, and go with it."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace

from kaon_coordinator.store.base import Snapshot, Store
from kaon_coordinator.store.snapshot_sql import decode, encode

from .build import batch, block_row, run_row, step_row, submitted


def begun(store: Store) -> tuple[str, int]:
    """A run with two events, and the epoch of its owner."""
    run = submitted(store)
    epoch = store.claim_partition(run.partition, "me")
    store.commit(batch(epoch, run))
    return run.run_id, epoch


def taken(store: Store, run_id: str) -> Snapshot:
    snapshot = store.read_snapshot(run_id)
    assert snapshot is not None
    store.put_snapshot(snapshot)
    return snapshot


def test_the_newest_state_that_is_not_newer_than_asked_is_found(store: Store) -> None:
    run_id, epoch = begun(store)
    assert store.find_snapshot(run_id, 99) is None
    first = taken(store, run_id)
    assert first == Snapshot(row=run_row(run_id), steps=[step_row()], blocks=[block_row()])
    run = store.get_run("default", run_id)
    later = batch(epoch, run, first=3, last=7)
    store.commit(replace(later, steps={run_id: [step_row(attempt=2, data='{"x":"\u00e9"}')]}))
    second = taken(store, run_id)
    assert [store.find_snapshot(run_id, seq) for seq in (1, 2, 6, 7, 8)] == [
        None,
        first,
        first,
        second,
        second,
    ]
    assert store.snapshot_seqs(run_id) == [2, 7]
    assert second.steps[0].data == '{"x":"\u00e9"}'


def test_a_state_is_kept_once_whoever_keeps_it(store: Store) -> None:
    run_id, _ = begun(store)
    snapshot = taken(store, run_id)
    store.put_snapshot(replace(snapshot, steps=[]))
    assert store.find_snapshot(run_id, 2) == snapshot


def test_nothing_is_kept_of_a_run_that_is_gone(store: Store) -> None:
    run_id, _ = begun(store)
    snapshot = store.read_snapshot(run_id)
    assert snapshot is not None
    store.put_snapshot(replace(snapshot, row=replace(snapshot.row, run_id="gone")))
    assert store.snapshot_seqs("gone") == []


def test_a_snapshot_of_before_a_field_was_added_has_its_default() -> None:
    old = json.loads(zlib.decompress(encode(Snapshot(row=run_row("r"), steps=[], blocks=[]))))
    place = old["run"][0].index("priority")
    for values in old["run"]:
        del values[place]
    assert decode(zlib.compress(json.dumps(old).encode())).row == run_row("r")
