"""Who owns a pool."""

from __future__ import annotations

from kaon_coordinator.store.base import Store


def test_every_claim_raises_the_epoch_of_its_pool_by_one(store: Store) -> None:
    assert [store.claim_pool("default", owner) for owner in ("a", "b")] == [1, 2]
    assert store.claim_pool("gpu", "a") == 1


def test_the_owner_is_who_claimed_last(store: Store) -> None:
    assert store.pool_owner("default") == ""
    for owner in ("a", "b"):
        store.claim_pool("default", owner)
    assert store.pool_owner("default") == "b"
    assert store.pool_owner("gpu") == ""
