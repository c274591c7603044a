"""Artifacts belong to the tenants that have uploaded them, or whose steps have given them."""

from __future__ import annotations

from dataclasses import replace

from kaon_coordinator.store.base import Store
from kaon_wire import canonical
from kaonapi.run.v1 import run_pb2

from .build import batch, step_row, submitted

A, B, C = "a" * 64, "b" * 64, "c" * 64


def reference(digest: str) -> str:
    """A value that is an artifact."""
    return canonical.dumps({"artifact": {"digest": f"sha256:{digest}", "uri": "file:///x"}})


def test_what_is_granted_to_a_tenant_is_no_other_tenants(store: Store) -> None:
    store.grant("blue", {A, B})
    store.grant("blue", {A})
    store.grant("green", ())
    assert store.missing_grants("blue", {A, B, C}) == {C}
    assert store.missing_grants("green", {A}) == {A}
    assert store.missing_grants("green", ()) == set()


def test_more_digests_than_a_query_takes_are_looked_up(store: Store) -> None:
    many = {f"{number:064x}" for number in range(1_200)}
    store.grant("blue", many)
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
