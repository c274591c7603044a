"""Principals: every call carries one; development has a default."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

from kaon_service.roles import Kind, Role
from kaon_telemetry.tracing import is_trace_parent
from kaon_wire.errors import InvalidValue

TENANT_KEY = "kaon-tenant"
TRACE_KEY = "traceparent"
PRINCIPAL_KEY = "kaon-principal"
# Separated by commas.
ROLES_KEY = "kaon-roles"

_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_ROLES = re.compile(r"[A-Za-z0-9._,-]{0,1000}\Z")
_ROLE = re.compile(r"[A-Za-z0-9._-]{1,100}\Z")
_NAME = re.compile(r"[ -~]{1,200}\Z")


@dataclass(frozen=True, kw_only=True)
class Principal:
    """The caller of one RPC."""

    # The tenant whose workflows and runs it sees.
    tenant: str = "default"
    name: str = "anonymous"
    # Of `Role`, with all that they include, and as named by approvals.
    roles: frozenset[str] = frozenset()
    kind: Kind = Kind.PERSON
    # The pool of a runner; empty for others.
    pool: str = ""
    # How the caller was authenticated: "off" (not at all), "token", "oidc", "certificate" or "service".
    authentication: str = "off"
    # W3C trace context of the call; empty when it is missing or malformed.
    trace_parent: str = ""

    def holds(self, role: Role) -> bool:
        """Return whether the caller has a role: without authentication everybody has all of them."""
        return self.authentication == "off" or role in self.roles


# Set by `enter` for the duration of one call.
_current: ContextVar[Principal] = ContextVar("principal")


def current() -> Principal:
    """Return the caller of the current RPC."""
    return _current.get()


def enter(metadata: Iterable[tuple[str, str | bytes]]) -> Principal:
    """Read the caller from a call's metadata and make it the current one of this task.

    Raises:
        InvalidValue: The metadata names an invalid tenant or principal.
    """
    principal = principal_of(metadata)
    _current.set(principal)
    return principal


def metadata_of(principal: Principal) -> tuple[tuple[str, str], ...]:
    """Return the metadata of a principal's call."""
    return (
        (TENANT_KEY, principal.tenant),
        (PRINCIPAL_KEY, principal.name),
        (ROLES_KEY, ",".join(sorted(principal.roles))),
    )


def principal_of(metadata: Iterable[tuple[str, str | bytes]]) -> Principal:
    """Read the caller from a call's metadata.

    Raises:
        InvalidValue: The metadata names an invalid tenant or principal.
    """
    given = {
        key: value
        for key, value in metadata
        if key in {TENANT_KEY, PRINCIPAL_KEY, ROLES_KEY, TRACE_KEY}
    }
    tenant = given.get(TENANT_KEY, Principal.tenant)
    name = given.get(PRINCIPAL_KEY, Principal.name)
    if not isinstance(tenant, str) or not _TENANT.match(tenant):
        raise InvalidValue(
            f"metadata {TENANT_KEY} {tenant!r}: use lower-case letters, digits and hyphens"
        )
    if not isinstance(name, str) or not _NAME.match(name):
        raise InvalidValue(
            f"metadata {PRINCIPAL_KEY} {name!r}: use 1 to 200 printable ASCII characters"
        )
    roles = given.get(ROLES_KEY, "")
    if not isinstance(roles, str) or not _ROLES.match(roles):
        raise InvalidValue(
            f"metadata {ROLES_KEY} {roles!r}: use letters, digits and hyphens, with commas between roles"
        )
    trace = given.get(TRACE_KEY, "")
    return Principal(
        tenant=tenant,
        name=name,
        roles=frozenset(filter(None, roles.split(","))),
        trace_parent=trace if isinstance(trace, str) and is_trace_parent(trace) else "",
    )


def is_tenant(text: str) -> bool:
    """Return whether a text can be the name of a tenant."""
    return _TENANT.match(text) is not None


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a principal."""
    return _NAME.match(text) is not None


def is_role(text: str) -> bool:
    """Return whether a text can be the name of a role."""
    return _ROLE.match(text) is not None
