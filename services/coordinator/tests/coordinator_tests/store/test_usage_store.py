"""What a tenant has stored is counted, and what others have is not."""

from __future__ import annotations

from kaon_coordinator.store.base import PartitionBatch, ScheduleRecord, Store
from kaonapi.run.v1 import run_pb2
from kaonapi.schedule.v1 import schedule_pb2
from kaonapi.workflow.v1 import definition_pb2

from .build import run_row, submitted


def test_open_runs_are_counted_up_to_a_bound(store: Store) -> None:
    runs = [submitted(store) for _ in range(3)]
    submitted(store, tenant="other")
    assert store.count_open_runs("default", 10) == 3
    assert store.count_open_runs("default", 2) == 2
    assert store.count_open_runs("nobody", 2) == 0
    epoch = store.claim_partition(3, "me")
    ended = run_row(runs[0].run_id, status=run_pb2.STATUS_FAILED, end_us=9)
    store.commit(PartitionBatch(partition=3, epoch=epoch, runs=[ended]))
    assert store.count_open_runs("default", 10) == 2


def test_workflows_and_their_versions_are_counted(store: Store) -> None:
    for name, version in (("a", "1"), ("a", "2"), ("a", "2"), ("b", "1")):
        definition = definition_pb2.WorkflowDefinition(name=name)
        store.put_workflow("default", definition, version, 1)
    store.put_workflow("other", definition_pb2.WorkflowDefinition(name="c"), "1", 1)
    assert store.count_workflows("default") == 2
    assert [store.count_versions("default", name) for name in "abc"] == [2, 1, 0]


def test_schedules_are_counted(store: Store) -> None:
    for tenant, name in (("default", "a"), ("default", "b"), ("other", "a")):
        record = ScheduleRecord(
            tenant=tenant,
            partition=3,
            definition=schedule_pb2.Schedule(name=name, workflow="w"),
            next_us=1,
            state="{}",
            revision=0,
            create_us=1,
        )
        store.put_schedule(record)
    assert store.count_schedules("default") == 2
    assert store.count_schedules("nobody") == 0


def test_a_used_idempotency_key_is_known(store: Store) -> None:
    submitted(store, workflow="nightly", idempotency_key="k")
    assert store.is_key_used("default", "nightly", "k")
    for tenant, workflow, key in (
        ("x", "nightly", "k"),
        ("default", "x", "k"),
        ("default", "nightly", "x"),
    ):
        assert not store.is_key_used(tenant, workflow, key)


def test_bytes_of_artifacts_are_counted(store: Store) -> None:
    store.grant("default", {"a" * 64: 1, "b" * 64: 20})
    store.grant("other", {"a" * 64: 1})
    assert [store.count_bytes(tenant) for tenant in ("default", "other", "nobody")] == [21, 1, 0]
