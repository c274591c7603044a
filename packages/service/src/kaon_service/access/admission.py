"""Decides whether a call is made: authenticates it, and looks its method up in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from kaon_service.access.credentials import Authenticate, Credentials, Forbidden, TenantSource
from kaon_service.access.off import without_authentication
from kaon_service.access.table import TABLE, Access
from kaon_service.principal import TENANT_KEY, TRACE_KEY, Principal, checked_tenant
from kaon_service.roles import Kind, Role
from kaon_telemetry.tracing import is_trace_parent
from kaon_wire.lease_tokens import LEASE_KEY, LeaseKeys


@dataclass(frozen=True, kw_only=True)
class Admission:
    """Lets callers in, or refuses them. Nothing else decides who may call."""

    authenticate: Authenticate
    # None: every tenant may call, as without authentication.
    tenants: TenantSource | None
    # Returns the keys of the leases under which runners call; without it no runner calls under one.
    leases: Callable[[], LeaseKeys] | None = None
    table: Mapping[str, Access] = field(default_factory=lambda: TABLE)

    async def admit(self, method: str, credentials: Credentials) -> Principal:
        """Return the caller of a method, such as "/kaonapi.run.v1.RunService/GetRun", in the tenant in which it acts.

        Raises:
            Unauthenticated: The credentials are missing, or not valid.
            Forbidden: The caller may not do this.
            InvalidValue: The metadata of the call is malformed.
            Unavailable: What is needed to check the call does not answer.
        """
        return await self.allow(method, await self.authenticate(credentials), credentials)

    async def allow(self, method: str, caller: Principal, credentials: Credentials) -> Principal:
        """Return an authenticated caller of a method in the tenant in which it acts; see `admit`."""
        access = self.table.get(method)
        if access is None:
            raise Forbidden(f"nobody may call {method}: the table of methods has no entry for it")
        _check_role(caller, method, access)
        if caller.kind is Kind.RUNNER and access.role is not None:
            caller = self._under_lease(caller, credentials.metadata.get(LEASE_KEY, ""))
        caller = _in_tenant(caller, credentials.metadata.get(TENANT_KEY, ""))
        await self._check_tenant(caller, access)
        trace = credentials.metadata.get(TRACE_KEY, "")
        return replace(caller, trace_parent=trace) if is_trace_parent(trace) else caller

    def _under_lease(self, caller: Principal, shown: str) -> Principal:
        """Return a runner as who executes the step whose lease it shows: in that step's tenant.

        Raises:
            Forbidden: It shows no lease of this system.
        """
        lease = None if self.leases is None else self.leases().shown(shown)
        if lease is None:
            raise Forbidden(f"a runner shows the lease of a step that it executes in {LEASE_KEY}")
        return replace(caller, tenant=lease.tenant, name=f"run/{lease.run_id}", run_id=lease.run_id)

    async def _check_tenant(self, caller: Principal, access: Access) -> None:
        """Check that an administrator has made the caller's tenant, and has not disabled it.

        Raises:
            Forbidden: It is not so.
        """
        # Services act in no tenant; and somebody makes the first tenant.
        first = access.role in {None, Role.PLATFORM_ADMIN} and caller.holds(Role.PLATFORM_ADMIN)
        if self.tenants is None or caller.kind is Kind.SERVICE or first:
            return
        if not await self.tenants.is_enabled(caller.tenant):
            raise Forbidden(
                f"tenant {caller.tenant} may not call: there is none of this name, or it is disabled"
            )


# Everybody is who they say they are, and may do everything.
OPEN = Admission(authenticate=without_authentication, tenants=None)


def _check_role(caller: Principal, method: str, access: Access) -> None:
    """Check that the table allows the caller to call the method.

    Raises:
        Forbidden: It does not.
    """
    if not _allows(access, caller):
        raise Forbidden(f"{method.rsplit('/', 1)[-1]} needs {_needed(access)}")


def _allows(access: Access, caller: Principal) -> bool:
    if caller.kind is Kind.PERSON:
        return access.role is None or caller.holds(access.role)
    return caller.kind in access.kinds


def _needed(access: Access) -> str:
    """Return the words for who may call."""
    kinds = [f"a {kind} identity" for kind in sorted(access.kinds - {Kind.PERSON})]
    return " or ".join([f"role {access.role}" if access.role else "a person", *kinds])


def _in_tenant(caller: Principal, tenant: str) -> Principal:
    """Return the caller in the tenant that the metadata names; without one it is the caller's.

    Raises:
        Forbidden: The tenant is another one, and the caller may not act in it.
        InvalidValue: The tenant's name is malformed.
    """
    if not tenant or tenant == caller.tenant:
        return caller
    if caller.kind is not Kind.PERSON or not caller.holds(Role.PLATFORM_ADMIN):
        raise Forbidden(
            f"{TENANT_KEY} names another tenant than the caller's: that needs role {Role.PLATFORM_ADMIN}"
        )
    return replace(caller, tenant=checked_tenant(tenant))
