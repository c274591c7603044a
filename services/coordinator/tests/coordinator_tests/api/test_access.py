"""AccessService with callers of every kind: nobody gives more than they have, and tenants are for platform administrators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kaon_coordinator.api.access import AccessParts, AccessServicer
from kaon_coordinator.problems import Denied, FailedPrecondition, InvalidRequest
from kaon_coordinator.store.base import TenantRecord
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.thread import StoreThread
from kaon_service import principal
from kaon_service.principal import Principal
from kaon_service.roles import included
from kaon_wire.errors import InvalidValue, NotFound
from kaonapi.access.v1 import access_service_pb2 as a

from .conftest import NOW_US


class Calls:
    """Calls the servicer as one caller or another."""

    def __init__(self, thread: StoreThread, monkeypatch: pytest.MonkeyPatch) -> None:
        self.servicer = AccessServicer(AccessParts(store=thread, now_us=lambda: NOW_US))
        self._monkeypatch = monkeypatch

    async def __call__(self, caller: Principal, method: str, request: Any) -> Any:
        self._monkeypatch.setattr(principal, "current", lambda: caller)
        return await getattr(self.servicer, method)(request, None)

    async def create(self, caller: Principal, **fields: Any) -> a.CreateTokenResponse:
        request = a.CreateTokenRequest(caller=a.Caller(**fields))
        return await self(caller, "CreateToken", request)  # type: ignore[no-any-return]


def person(*roles: str, tenant: str = "blue", authentication: str = "token") -> Principal:
    return Principal(
        tenant=tenant, name="ann", roles=included(roles), authentication=authentication
    )


ADMIN = person("tenant-admin")
PLATFORM = person("platform-admin")


@pytest.fixture
async def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Calls]:
    """A servicer over a store with one tenant."""
    thread = StoreThread(open_store(f"sqlite:///{tmp_path}/kaon.db"))
    thread.store.put_tenant(TenantRecord(name="blue", enabled=True, create_us=1, created_by="x"))
    yield Calls(thread, monkeypatch)
    await thread.close()


async def test_callers_see_who_they_are(calls: Calls) -> None:
    told = await calls(person("operator", "risk"), "WhoAmI", a.WhoAmIRequest())
    assert told.caller == a.Caller(
        tenant="blue",
        name="ann",
        roles=["operator", "risk", "viewer"],
        kind="person",
        authentication="token",
    )


async def test_a_token_is_shown_once_listed_without_secret_and_ends(calls: Calls) -> None:
    made = await calls.create(ADMIN, name="ci", roles=["operator"])
    assert made.secret.startswith(f"kaon_{made.token.token_id}_")
    assert made.token.created_by == "ann"
    assert made.token.caller.tenant == "blue"
    (listed,) = (await calls(ADMIN, "ListTokens", a.ListTokensRequest())).tokens
    assert listed == made.token
    assert not listed.digest
    found = await calls(PLATFORM, "ResolveToken", a.ResolveTokenRequest(token_id=listed.token_id))
    assert len(found.token.digest) == 64
    revoke = a.RevokeTokenRequest(token_id=listed.token_id)
    with pytest.raises(NotFound, match="there is no token"):
        await calls(person("tenant-admin", tenant="red"), "RevokeToken", revoke)
    ended = await calls(ADMIN, "RevokeToken", revoke)
    assert ended.token.revoke_time.ToMicroseconds() == NOW_US
    with pytest.raises(NotFound):
        await calls(PLATFORM, "ResolveToken", a.ResolveTokenRequest(token_id="none"))


@pytest.mark.parametrize(
    ("caller", "fields"),
    [
        (ADMIN, {"roles": ["platform-admin"]}),
        (ADMIN, {"roles": ["viewer", "risk"]}),
        (person("author"), {"roles": ["tenant-admin"]}),
        (person("author"), {"roles": ["publisher"]}),
        (ADMIN, {"kind": "runner", "pool": "gpu"}),
    ],
)
async def test_nobody_gives_more_than_they_have(
    calls: Calls, caller: Principal, fields: dict[str, Any]
) -> None:
    with pytest.raises(Denied, match=r"role [a-z-]+ is needed"):
        await calls.create(caller, name="x", **fields)
    assert not (await calls(ADMIN, "ListTokens", a.ListTokensRequest())).tokens


@pytest.mark.parametrize(
    ("caller", "fields"),
    [
        (ADMIN, {"roles": ["tenant-admin"]}),
        (person("tenant-admin", "risk"), {"roles": ["risk", "viewer"]}),
        (ADMIN, {"kind": "consumer"}),
        (PLATFORM, {"roles": ["risk"]}),
        (PLATFORM, {"kind": "runner", "pool": "gpu"}),
    ],
)
async def test_what_callers_have_they_may_give(
    calls: Calls, caller: Principal, fields: dict[str, Any]
) -> None:
    made = await calls.create(caller, name="x", **fields)
    assert list(made.token.caller.roles) == sorted(fields.get("roles", ()))
    assert made.token.caller.pool == fields.get("pool", "")


async def test_without_authentication_nobody_makes_tokens_for_later(calls: Calls) -> None:
    with pytest.raises(FailedPrecondition, match=r"kaon_coordinator\.access"):
        await calls.create(person(authentication="off"), name="x", roles=["viewer"])


async def test_a_token_needs_a_tenant_and_a_kind(calls: Calls) -> None:
    with pytest.raises(NotFound, match="no tenant 'red'"):
        await calls.create(person("tenant-admin", tenant="red"), name="x", roles=["viewer"])
    with pytest.raises(InvalidRequest, match="kind 'robot'"):
        await calls.create(ADMIN, name="x", kind="robot")


async def test_tenants_are_made_changed_and_listed_over_pages(calls: Calls) -> None:
    for name in ("red", "green"):
        tenant = a.Tenant(name=name, enabled=True, topics=["b", "a", "b"], highest_priority=5)
        made = await calls(PLATFORM, "PutTenant", a.PutTenantRequest(tenant=tenant))
        assert (list(made.tenant.topics), made.tenant.created_by) == (["a", "b"], "ann")
    first = await calls(PLATFORM, "ListTenants", a.ListTenantsRequest(page_size=2))
    rest = a.ListTenantsRequest(page_size=2, page_token=first.next_page_token)
    last = await calls(PLATFORM, "ListTenants", rest)
    assert [each.name for each in (*first.tenants, *last.tenants)] == ["blue", "green", "red"]
    assert not last.next_page_token
    own = await calls(ADMIN, "ListTenants", a.ListTenantsRequest())
    assert [each.name for each in own.tenants] == ["blue"]
    nobody = await calls(person("viewer", tenant="none"), "ListTenants", a.ListTenantsRequest())
    assert not nobody.tenants
    changed = a.Tenant(name="red", enabled=False)
    await calls(PLATFORM, "PutTenant", a.PutTenantRequest(tenant=changed))
    found = await calls(PLATFORM, "ResolveTenant", a.ResolveTenantRequest(name="red"))
    assert (found.tenant.enabled, list(found.tenant.topics)) == (False, [])
    with pytest.raises(NotFound):
        await calls(PLATFORM, "ResolveTenant", a.ResolveTenantRequest(name="none"))


@pytest.mark.parametrize(
    ("tenant", "words"),
    [
        (a.Tenant(name="No", enabled=True), "name 'No'"),
        (a.Tenant(name="red", enabled=True, topics=["a b"]), "topic 'a b'"),
        (a.Tenant(name="red", enabled=True, topics=[f"t{n}" for n in range(101)]), "101 topics"),
        (a.Tenant(name="blue", enabled=False), "nobody could enable it"),
    ],
)
async def test_what_a_tenant_cannot_be_is_told(calls: Calls, tenant: a.Tenant, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        await calls(PLATFORM, "PutTenant", a.PutTenantRequest(tenant=tenant))
