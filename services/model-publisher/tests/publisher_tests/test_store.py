from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kaon_publisher.store.registry import ModelStore
from kaon_wire.errors import Conflict, NotFound
from kaonapi.model.v1 import model_pb2


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ModelStore]:
    store = ModelStore(f"sqlite:///{tmp_path}/models.db")
    yield store
    store.close()


def record(model: str = "m", tenant: str = "t") -> model_pb2.ModelVersion:
    return model_pb2.ModelVersion(model=model, tenant=tenant, image_digest="sha256:1")


def test_versions_count_up_and_each_is_announced_once(store: ModelStore) -> None:
    for key in ("a", "b", "a"):
        store.announce(record(), key, "p", 1)
    assert [version.version for version in store.versions("t", "m")] == [2, 1]
    assert [each.cursor for each in store.announcements("t", 0)] == [1, 2]


def test_the_same_key_with_another_payload_is_refused(store: ModelStore) -> None:
    store.announce(record(), "a", "p", 1)
    with pytest.raises(Conflict, match="'a'"):
        store.announce(record(), "a", "other", 2)


def test_however_many_publish_at_once_one_key_is_announced_once(tmp_path: Path) -> None:
    stores = [ModelStore(f"sqlite:///{tmp_path}/models.db") for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        calls = [
            pool.submit(stores[n % 4].announce, record(), f"k{n % 3}", "p", n) for n in range(24)
        ]
        numbers = {call.result().version for call in calls}
    assert numbers == {1, 2, 3}
    assert len(stores[0].announcements("t", 0)) == 3
    for store in stores:
        store.close()


def test_tenants_see_nothing_of_each_other(store: ModelStore) -> None:
    store.announce(record(tenant="one"), "a", "p", 1)
    store.announce(record(tenant="two"), "a", "p", 1)
    assert [version.version for version in store.versions("two")] == [1]
    with pytest.raises(NotFound):
        store.version("three", "m")


def test_who_has_acknowledged_is_known_and_a_cursor_never_goes_back(store: ModelStore) -> None:
    for key in ("a", "b"):
        store.announce(record(), key, "p", 1)
    store.acknowledge("t", "shop", 2, 10)
    store.acknowledge("t", "shop", 1, 20)
    assert store.acknowledged("t", "shop") == 2
    _, pickups = store.version("t", "m", 1)
    assert [(each.consumer, each.time_us) for each in pickups] == [("shop", 10)]
    with pytest.raises(NotFound, match="announcement 9"):
        store.acknowledge("t", "shop", 9, 30)


def test_announcements_wait_until_the_broker_has_them(store: ModelStore) -> None:
    store.announce(record(), "a", "p", 1)
    assert store.unsent() == [("t", 1)]
    store.mark_sent("t", 1)
    assert store.unsent() == []


def announced(store: ModelStore) -> list[tuple[int, int, int]]:
    return [
        (each.kind, each.version.version, each.replaces) for each in store.announcements("t", 0)
    ]


def published(store: ModelStore, count: int) -> None:
    for number in range(1, count + 1):
        store.announce(record(), f"k{number}", "p", number)


def test_a_promoted_version_is_announced_once_and_current(store: ModelStore) -> None:
    published(store, 3)
    first = store.promote("t", "m", 1, 9, principal="ann", reason="better")
    again = store.promote("t", "m", 1, 10)
    assert first == again
    assert (first.kind, first.version.version, first.replaces) == (
        model_pb2.ANNOUNCEMENT_KIND_PROMOTED,
        1,
        3,
    )
    assert (first.principal, first.reason) == ("ann", "better")
    assert store.current("t", "m") == 1
    assert len(store.announcements("t", 0)) == 4


def test_rollbacks_go_back_one_version_each_and_a_repeated_one_changes_nothing(
    store: ModelStore,
) -> None:
    published(store, 3)
    store.roll_back("t", "m", 3, 9)
    store.roll_back("t", "m", 3, 10)
    assert store.current("t", "m") == 2
    store.roll_back("t", "m", 0, 11)
    assert store.current("t", "m") == 1
    with pytest.raises(NotFound, match="no version to go back to"):
        store.roll_back("t", "m", 0, 12)
    with pytest.raises(Conflict, match="version 3"):
        store.roll_back("t", "m", 3, 13)
    assert announced(store)[3:] == [(3, 2, 3), (3, 1, 2)]


def test_a_version_is_published_on_top_of_what_was_rolled_back_to(store: ModelStore) -> None:
    published(store, 2)
    store.roll_back("t", "m", 2, 9)
    store.announce(record(), "new", "p", 10)
    assert announced(store)[-1] == (model_pb2.ANNOUNCEMENT_KIND_PUBLISHED, 3, 1)
    assert store.roll_back("t", "m", 3, 11).version.version == 1, "not to the one that was left"


def test_versions_that_were_picked_up_twice_have_the_last_time(store: ModelStore) -> None:
    published(store, 2)
    store.promote("t", "m", 1, 9)
    store.acknowledge("t", "shop", 1, 10)
    store.acknowledge("t", "shop", 3, 20)
    _, pickups = store.version("t", "m", 1)
    assert [(each.consumer, each.time_us) for each in pickups] == [("shop", 20)]
