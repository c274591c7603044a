"""Tenants exist because somebody put them; tokens are found by their ids and end once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kaon_coordinator.store.base import Store, TenantRecord, TokenRecord
from kaon_wire.errors import Conflict, InvalidValue, NotFound
from kaonapi.workflow.v1 import definition_pb2

TENANT = TenantRecord(name="blue", enabled=True, create_us=5, created_by="root")
TOKEN = TokenRecord(
    token_id="t1",
    digest="ab" * 32,
    tenant="blue",
    name="ann",
    roles=("author", "risk"),
    kind="person",
    pool="",
    created_by="root",
    create_us=5,
    expire_us=0,
)


def test_a_tenant_keeps_by_whom_it_was_made_when_its_settings_change(store: Store) -> None:
    assert store.find_tenant("blue") is None
    assert store.put_tenant(TENANT) == TENANT
    changed = replace(
        TENANT,
        enabled=False,
        create_us=9,
        created_by="other",
        highest_priority=7,
        topics=("arrivals", "prices"),
    )
    expected = replace(changed, create_us=5, created_by="root")
    assert store.put_tenant(changed) == expected == store.find_tenant("blue")


def test_tenants_are_listed_by_name_and_page(store: Store) -> None:
    for name in ("green", "blue", "red"):
        store.put_tenant(replace(TENANT, name=name))
    assert [each.name for each in store.list_tenants(limit=2)] == ["blue", "green"]
    assert [each.name for each in store.list_tenants(after="green")] == ["red"]


def test_names_that_calls_have_brought_along_are_no_tenants(store: Store) -> None:
    for tenant in ("red", "blue", "green"):
        store.put_workflow(tenant, definition_pb2.WorkflowDefinition(name="w"), "v", 1)
    store.put_tenant(TENANT)
    assert store.unknown_tenants() == ["green", "red"]
    assert store.find_tenant("red") is None


def test_a_token_is_found_by_its_id_and_never_replaced(store: Store) -> None:
    store.add_token(TOKEN)
    assert store.find_token("t1") == TOKEN
    assert store.find_token("t2") is None
    with pytest.raises(Conflict):
        store.add_token(replace(TOKEN, roles=("platform-admin",)))
    assert store.find_token("t1") == TOKEN


def test_a_token_ends_once_and_only_for_its_tenant(store: Store) -> None:
    store.add_token(TOKEN)
    for tenant, token_id in (("red", "t1"), ("blue", "t2")):
        with pytest.raises(NotFound, match="there is no token"):
            store.revoke_token(tenant, token_id, 7)
    assert store.find_token("t1") == TOKEN
    ended = replace(TOKEN, revoke_us=7)
    assert store.revoke_token("blue", "t1", 7) == ended
    assert store.revoke_token("blue", "t1", 8) == ended == store.find_token("t1")


def test_tokens_are_listed_newest_first_over_pages(store: Store) -> None:
    for number in range(5):
        store.add_token(replace(TOKEN, token_id=f"t{number}", create_us=number // 2))
    store.add_token(replace(TOKEN, token_id="other", tenant="red"))
    found, page_token = [], ""
    while not found or page_token:
        page = store.list_tokens("blue", 2, page_token)
        found += [each.token_id for each in page.tokens]
        page_token = page.next_page_token
    assert found == ["t4", "t3", "t2", "t1", "t0"]
    with pytest.raises(InvalidValue, match="page token"):
        store.list_tokens("blue", 2, "?")
