"""Roles of people and kinds of services, and what each includes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """What a person may do in a tenant. Approvals name roles of their own beside these."""

    # Reads everything of its tenant.
    VIEWER = "viewer"
    # Submits registered workflows and steers runs.
    OPERATOR = "operator"
    # Registers workflows and schedules: decides which code runs.
    AUTHOR = "author"
    # Publishes, promotes and rolls back models.
    PUBLISHER = "publisher"
    # All of the above in its tenant; its tokens and permits, too.
    TENANT_ADMIN = "tenant-admin"
    # Everything in every tenant, and what belongs to none: tenants, pools, audit.
    PLATFORM_ADMIN = "platform-admin"


class Kind(StrEnum):
    """What a caller is."""

    PERSON = "person"
    # A step-runner of one pool. It publishes models for runs whose lease it holds.
    RUNNER = "runner"
    # A production system that picks up models.
    CONSUMER = "consumer"
    # A coordinator, view service, publisher or console; it passes on the principal of its own caller.
    SERVICE = "service"


_DIRECTLY: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        Role.OPERATOR: frozenset({Role.VIEWER}),
        Role.AUTHOR: frozenset({Role.OPERATOR}),
        Role.PUBLISHER: frozenset({Role.VIEWER}),
        Role.TENANT_ADMIN: frozenset({Role.AUTHOR, Role.PUBLISHER}),
        Role.PLATFORM_ADMIN: frozenset({Role.TENANT_ADMIN}),
    }
)


def included(roles: Iterable[str]) -> frozenset[str]:
    """Return the roles with all that they include; names that are no `Role` stay as they are."""
    found: set[str] = set()
    waiting = list(roles)
    while waiting:
        role = waiting.pop()
        if role not in found:
            found.add(role)
            waiting.extend(_DIRECTLY.get(role, ()))
    return frozenset(found)
