"""AccessService: who the caller is, tokens and tenants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from kaon_coordinator.access import checked_tenants, tokens
from kaon_coordinator.access.token_sources import token_message
from kaon_coordinator.access.tokens import Holder
from kaon_coordinator.engine.rows.row_views import timestamp
from kaon_coordinator.problems import Denied, FailedPrecondition, InvalidRequest, Problem
from kaon_coordinator.store.protocols.access_store import AccessStore
from kaon_coordinator.store.protocols.grant_store import GrantStore
from kaon_coordinator.store.records import TenantRecord
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service import principal
from kaon_service.principal import Principal
from kaon_service.roles import Kind, Role, included
from kaon_wire.errors import InvalidValue, NotFound
from kaonapi.access.v1 import access_service_pb2 as a
from kaonapi.access.v1 import access_service_pb2_grpc

_PAGE = 100
_OFF = "off"


# Artifacts of one question.
_MOST_DIGESTS = 1_000


class AccessServiceStore(AccessStore, GrantStore, Protocol):
    """What the service needs of the store."""


@dataclass(frozen=True, kw_only=True)
class AccessParts:
    """The dependencies of the service."""

    store: StoreCalls[AccessServiceStore]
    # Returns microseconds since the epoch.
    now_us: Callable[[], int]


class AccessServicer(access_service_pb2_grpc.AccessServiceServicer):
    """Serves the methods of AccessService. The table of methods says who may call each."""

    def __init__(self, parts: AccessParts) -> None:
        self._threads = parts.store
        self._store = parts.store.store
        self._now_us = parts.now_us

    async def WhoAmI(self, request: a.WhoAmIRequest, context: Any) -> a.WhoAmIResponse:  # noqa: N802
        """Return the caller as the service sees it."""
        caller = principal.current()
        return a.WhoAmIResponse(
            caller=a.Caller(
                tenant=caller.tenant,
                name=caller.name,
                roles=sorted(caller.roles),
                kind=caller.kind,
                pool=caller.pool,
                authentication=caller.authentication,
            )
        )

    async def CreateToken(  # noqa: N802
        self, request: a.CreateTokenRequest, context: Any
    ) -> a.CreateTokenResponse:
        """Make a token with at most the caller's own roles."""
        caller = principal.current()
        holder = _holder(request.caller, caller.tenant)
        tokens.check(holder)
        _may_give(caller, holder)
        if not await self._is_enabled(caller.tenant):
            raise NotFound(f"there is no tenant {caller.tenant!r} that is enabled")
        record, shown = tokens.new_token(
            holder,
            created_by=caller.name,
            now_us=self._now_us(),
            expire_us=request.expire_time.ToMicroseconds(),
        )
        await self._threads.run(self._store.add_token, record)
        return a.CreateTokenResponse(token=token_message(record), secret=shown)

    async def ListTokens(self, request: a.ListTokensRequest, context: Any) -> a.ListTokensResponse:  # noqa: N802
        """Return the tenant's tokens, newest first."""
        page = await self._threads.read(
            self._store.list_tokens,
            principal.current().tenant,
            request.page_size or _PAGE,
            request.page_token,
        )
        return a.ListTokensResponse(
            tokens=[token_message(each) for each in page.tokens],
            next_page_token=page.next_page_token,
        )

    async def RevokeToken(  # noqa: N802
        self, request: a.RevokeTokenRequest, context: Any
    ) -> a.RevokeTokenResponse:
        """End a token of the tenant."""
        tenant = principal.current().tenant
        record = await self._threads.run(
            self._store.revoke_token, tenant, request.token_id, self._now_us()
        )
        return a.RevokeTokenResponse(token=token_message(record))

    async def ResolveToken(  # noqa: N802
        self, request: a.ResolveTokenRequest, context: Any
    ) -> a.ResolveTokenResponse:
        """Return what is kept of a token, with its digest."""
        record = await self._threads.read(self._store.find_token, request.token_id)
        if record is None:
            raise NotFound("there is no such token")
        return a.ResolveTokenResponse(token=token_message(record, digest=record.digest))

    async def ResolveTenant(  # noqa: N802
        self, request: a.ResolveTenantRequest, context: Any
    ) -> a.ResolveTenantResponse:
        """Return a tenant by its name."""
        record = await self._threads.read(self._store.find_tenant, request.name)
        if record is None:
            raise NotFound("there is no such tenant")
        return a.ResolveTenantResponse(tenant=_tenant(record))

    async def ResolveArtifacts(  # noqa: N802
        self, request: a.ResolveArtifactsRequest, context: Any
    ) -> a.ResolveArtifactsResponse:
        """Return which of some artifacts a tenant does not have."""
        if len(request.digests) > _MOST_DIGESTS:
            raise InvalidValue(
                f"digests: {len(request.digests)} of them; use at most {_MOST_DIGESTS}"
            )
        found = {each.removeprefix("sha256:"): each for each in request.digests}
        missing = await self._threads.read(self._store.missing_grants, request.tenant, found.keys())
        return a.ResolveArtifactsResponse(missing=sorted(found[each] for each in missing))

    async def PutTenant(self, request: a.PutTenantRequest, context: Any) -> a.PutTenantResponse:  # noqa: N802
        """Make a tenant, or change its settings."""
        caller, wanted = principal.current(), request.tenant
        record = TenantRecord(
            name=wanted.name,
            enabled=wanted.enabled,
            create_us=self._now_us(),
            created_by=caller.name,
            highest_priority=wanted.highest_priority,
            topics=tuple(sorted(set(wanted.topics))),
        )
        checked_tenants.check(record)
        if not record.enabled and record.name == caller.tenant and caller.authentication != _OFF:
            text = f"tenant {record.name} is the caller's: nobody could enable it again"
            raise InvalidRequest("tenant", [Problem(field="tenant.enabled", text=text)])
        kept = await self._threads.run(self._store.put_tenant, record)
        return a.PutTenantResponse(tenant=_tenant(kept))

    async def ListTenants(  # noqa: N802
        self, request: a.ListTenantsRequest, context: Any
    ) -> a.ListTenantsResponse:
        """Return all tenants to platform administrators, and to others their own."""
        caller, size = principal.current(), request.page_size or _PAGE
        if not caller.holds(Role.PLATFORM_ADMIN):
            own = await self._threads.read(self._store.find_tenant, caller.tenant)
            return a.ListTenantsResponse(tenants=[_tenant(own)] if own is not None else [])
        found = await self._threads.read(self._store.list_tenants, request.page_token, size + 1)
        page = found[:size]
        return a.ListTenantsResponse(
            tenants=[_tenant(each) for each in page],
            next_page_token=page[-1].name if len(found) > size else "",
        )

    async def _is_enabled(self, tenant: str) -> bool:
        record = await self._threads.read(self._store.find_tenant, tenant)
        return record is not None and record.enabled


def _holder(caller: a.Caller, tenant: str) -> Holder:
    """Return whom a token is to stand for.

    Raises:
        InvalidRequest: The kind is none.
    """
    try:
        kind = Kind(caller.kind or Kind.PERSON)
    except ValueError:
        text = f"kind {caller.kind!r}: use one of {', '.join(tokens.TOKEN_KINDS)}"
        raise InvalidRequest("token", [Problem(field="caller.kind", text=text)]) from None
    return Holder(
        tenant=tenant,
        name=caller.name,
        roles=frozenset(caller.roles),
        kind=kind,
        pool=caller.pool,
    )


def _may_give(caller: Principal, holder: Holder) -> None:
    """Check that a token would not be able to do more than the caller.

    Raises:
        FailedPrecondition: Authentication is off.
        Denied: The caller lacks a role.
    """
    if caller.authentication == _OFF:
        raise FailedPrecondition(
            "authentication is off, so anybody could make tokens that stay valid when it is on: "
            "use `python -m kaon_coordinator.access token` on the machine of the database"
        )
    if caller.holds(Role.PLATFORM_ADMIN):
        return
    if holder.kind is Kind.RUNNER:
        raise Denied(
            f"role {Role.PLATFORM_ADMIN} is needed: the runners of a pool work for every tenant"
        )
    if lacking := sorted(included(holder.roles) - caller.roles):
        raise Denied(f"role {lacking[0]} is needed: nobody gives a role that they do not have")


def _tenant(record: TenantRecord) -> a.Tenant:
    return a.Tenant(
        name=record.name,
        enabled=record.enabled,
        create_time=timestamp(record.create_us),
        created_by=record.created_by,
        highest_priority=record.highest_priority,
        topics=record.topics,
    )
