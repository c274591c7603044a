"""Artifacts belong to the tenants that have uploaded them, or whose steps have given them."""

from __future__ import annotations

from dataclasses import replace

from kaon_coordinator.store.base import Store
from kaon_wire import canonical
from kaonapi.run.v1 import run_pb2

from .build import batch, step_row, submitted

A, B, C = "a" * 64, "b" * 64, "c" * 64


def reference(digest: str, size: object = 7) -> str:
    """A value that is an artifact."""
    artifact = {"digest": f"sha256:{digest}", "uri": "file:///x", "size": size}
    return canonical.dumps({"artifact": artifact})


def test_what_is_granted_to_a_tenant_is_no_other_tenants(store: Store) -> None:
    store.grant("blue", {A: 0, B: 20})
    store.grant("blue", {A: 1})
    store.grant("blue", {A: 300, B: 300})
    store.grant("green", {})
    assert store.missing_grants("blue", {A, B, C}) == {C}
    assert store.missing_grants("green", {A}) == {A}
    assert store.missing_grants("green", ()) == set()
    assert (store.count_bytes("blue"), store.count_bytes("green")) == (21, 0)


def test_what_is_deleted_is_taken_from_all_tenants(store: Store) -> None:
    """Whoever stores it again has it, and nobody else."""
    store.grant("blue", {A: 1, B: 20})
    store.grant("green", {A: 1})
    store.forget_artifact(A)
    assert store.missing_grants("blue", {A, B}) == {A}
    assert store.missing_grants("green", {A}) == {A}
    assert store.count_bytes("blue") == 20


def test_more_digests_than_a_query_takes_are_looked_up(store: Store) -> None:
    many = {f"{number:064x}" for number in range(1_200)}
    store.grant("blue", dict.fromkeys(many, 0))
    assert store.missing_grants("blue", many | {A}) == {A}


def test_what_a_step_gives_belongs_to_its_tenant_with_the_commit(store: Store) -> None:
    run = submitted(store)
    epoch = store.claim_partition(run.partition, "owner")
    data = {
        # A text that looks like a digest is none; an input is not given by the step.
        "inputs": {"text": canonical.dumps(f"sha256:{B}"), "other": reference(C)},
        "outputs": {"out": canonical.dumps([{"deep": canonical.loads(reference(A))}])},
    }
    done = step_row("s", status=run_pb2.STATUS_SUCCEEDED, data=canonical.dumps(data))
    failed = step_row("t", status=run_pb2.STATUS_FAILED, data=canonical.dumps(data))
    decided = batch(epoch, run, first=1, last=1)
    store.commit(replace(decided, steps={run.run_id: [failed]}))
    assert store.missing_grants("default", {A}) == {A}
    decided = batch(epoch, run, first=2, last=2)
    store.commit(replace(decided, steps={run.run_id: [done]}))
    assert store.missing_grants("default", {A, B, C}) == {B, C}
    assert store.missing_grants("other", {A}) == {A}
    # Again, as after a restart of the step.
    decided = batch(epoch, run, first=3, last=3)
    store.commit(replace(decided, steps={run.run_id: [done]}))
    assert store.count_bytes("default") == 7


def test_a_size_that_is_none_counts_nothing(store: Store) -> None:
    run = submitted(store)
    epoch = store.claim_partition(run.partition, "owner")
    wrong = (-1, "7", True, None, 1 << 70, 1.5)
    outputs = {
        f"out{number}": reference(f"{number:064x}", size) for number, size in enumerate(wrong)
    }
    data = canonical.dumps({"outputs": outputs})
    done = step_row("s", status=run_pb2.STATUS_SUCCEEDED, data=data)
    store.commit(replace(batch(epoch, run, first=1, last=1), steps={run.run_id: [done]}))
    assert store.missing_grants("default", {f"{0:064x}"}) == set()
    assert store.count_bytes("default") == 0


def test_what_rows_of_earlier_versions_name_is_granted_on_request(store: Store) -> None:
    run = submitted(store, params={"data": reference(A)})
    epoch = store.claim_partition(run.partition, "owner")
    data = canonical.dumps({"outputs": {"out": reference(B)}, "inputs": {"in": reference(C)}})
    failed = step_row("t", status=run_pb2.STATUS_FAILED, data=data)
    decided = batch(epoch, run, first=1, last=1)
    store.commit(replace(decided, steps={run.run_id: [failed]}))
    assert store.missing_grants("default", {A, B, C}) == {A, B, C}
    store.grant_named()
    store.grant_named()
    assert store.missing_grants("default", {A, B, C}) == {C}
