"""Executions that are remembered for equal ones."""

from __future__ import annotations

from dataclasses import replace

from kaon_coordinator.store.base import Memo, PartitionBatch, Store


def _memo(**changes: object) -> Memo:
    memo = Memo(tenant="default", key="k", outputs={"a": "1"}, run_id="r", path="work", time_us=5)
    return replace(memo, **changes)  # type: ignore[arg-type]


def test_the_newest_execution_is_remembered(store: Store) -> None:
    epoch = store.claim_partition(3, "me")
    newer = _memo(outputs={"a": "2"}, run_id="s", time_us=6)
    store.commit(PartitionBatch(partition=3, epoch=epoch, memos=[_memo(), _memo(key="l"), newer]))
    assert store.find_memo("default", "k") == newer
    assert store.find_memo("default", "l") == _memo(key="l")
    assert store.find_memo("other", "k") is None
    newest = _memo(outputs={}, time_us=9)
    store.commit(PartitionBatch(partition=3, epoch=epoch, memos=[newest]))
    assert store.find_memo("default", "k") == newest
