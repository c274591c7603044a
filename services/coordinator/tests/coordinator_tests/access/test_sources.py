"""Authentication finds what the store keeps of tokens and tenants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kaon_coordinator.access import token_sources
from kaon_coordinator.access.token_sources import StoreTenants, StoreTokens
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.thread import StoreThread
from kaon_service.access.credentials import StaticToken
from kaon_service.roles import Kind

from ..store.test_access_store import TENANT, TOKEN


@pytest.fixture
async def thread(tmp_path: Path) -> AsyncIterator[StoreThread]:
    """A store."""
    found = StoreThread(open_store(f"sqlite:///{tmp_path}/kaon.db"))
    yield found
    await found.close()


async def test_a_token_is_found_with_its_end_and_whether_it_was_revoked(
    thread: StoreThread,
) -> None:
    store, tokens = thread.store, StoreTokens(thread.store, thread)
    assert await tokens.find("t1") is None
    store.add_token(replace(TOKEN, kind="runner", pool="gpu"))
    expected = StaticToken(
        token_id="t1",
        digest=TOKEN.digest,
        tenant="blue",
        name="ann",
        roles=frozenset({"author", "risk"}),
        kind=Kind.RUNNER,
        pool="gpu",
        expires_us=None,
        revoked=False,
    )
    assert await tokens.find("t1") == expected
    store.revoke_token("blue", "t1", 7)
    assert await tokens.find("t1") == replace(expected, revoked=True)
    store.add_token(replace(TOKEN, token_id="t2", expire_us=9))
    found = await tokens.find("t2")
    assert found is not None
    assert found.expires_us == 9


async def test_a_tenant_is_enabled_once_it_was_made_and_until_it_is_disabled(
    thread: StoreThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_sources, "TENANT_SECONDS", 0)
    store, tenants = thread.store, StoreTenants(thread.store, thread)
    assert not await tenants.is_enabled("blue")
    store.put_tenant(TENANT)
    assert await tenants.is_enabled("blue")
    store.put_tenant(replace(TENANT, enabled=False))
    assert not await tenants.is_enabled("blue")
