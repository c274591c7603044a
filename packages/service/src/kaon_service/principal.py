"""Principals: every call carries one; development has a default."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

from kaon_service.roles import Kind, Role
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
    # The run whose step a runner executes, as its lease proves; empty for others.
    run_id: str = ""
    # How the caller was authenticated: "off" (not at all), "token", "oidc", "certificate" or "service".
    authentication: str = "off"
    # The service that passes this caller on, such as "console"; empty when it calls itself.
    via: str = ""
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


def enter(principal: Principal) -> None:
    """Make a principal the current one of this task."""
    _current.set(principal)


def metadata_of(principal: Principal) -> tuple[tuple[str, str], ...]:
    """Return the metadata that names a principal to a service without authentication."""
    return (
        (TENANT_KEY, principal.tenant),
        (PRINCIPAL_KEY, principal.name),
        (ROLES_KEY, ",".join(sorted(principal.roles))),
    )


def principal_of(metadata: Iterable[tuple[str, str | bytes]]) -> Principal:
    """Read the caller from a call's metadata, as a service without authentication does.

    Raises:
        InvalidValue: The metadata names an invalid tenant or principal.
    """
    given = {key: value for key, value in metadata if key in {TENANT_KEY, PRINCIPAL_KEY, ROLES_KEY}}
    name = given.get(PRINCIPAL_KEY, Principal.name)
    if not isinstance(name, str) or not is_name(name):
        raise InvalidValue(
            f"metadata {PRINCIPAL_KEY} {name!r}: use 1 to 200 printable ASCII characters"
        )
    roles = given.get(ROLES_KEY, "")
    if not isinstance(roles, str) or not _ROLES.match(roles):
        raise InvalidValue(
            f"metadata {ROLES_KEY} {roles!r}: use letters, digits and hyphens, with commas between roles"
        )
    return Principal(
        tenant=checked_tenant(given.get(TENANT_KEY, Principal.tenant)),
        name=name,
        roles=frozenset(filter(None, roles.split(","))),
    )


def checked_tenant(tenant: object) -> str:
    """Return a tenant that a call's metadata names.

    Raises:
        InvalidValue: It is no name of a tenant.
    """
    if not isinstance(tenant, str) or not is_tenant(tenant):
        raise InvalidValue(
            f"metadata {TENANT_KEY} {tenant!r}: use lower-case letters, digits and hyphens"
        )
    return tenant


def is_tenant(text: str) -> bool:
    """Return whether a text can be the name of a tenant."""
    return _TENANT.match(text) is not None


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a principal."""
    return _NAME.match(text) is not None


def is_role(text: str) -> bool:
    """Return whether a text can be the name of a role."""
    return _ROLE.match(text) is not None
