"""Callers that a test's API believes, as if they had been authenticated."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from kaon_service.access.admission import Admission
from kaon_service.access.credentials import Credentials
from kaon_service.access.guard import Guard
from kaon_service.principal import Principal, principal_of
from kaon_service.roles import included

Metadata: TypeAlias = tuple[tuple[str, str], ...]


async def _believed(credentials: Credentials) -> Principal:
    told = principal_of(credentials.metadata.items())
    return replace(told, roles=included(told.roles), authentication="token")


# Everybody is who the metadata says, and has the roles that it says and no others.
BELIEVING = Guard(admission=Admission(authenticate=_believed, tenants=None))


def person(tenant: str, *roles: str, name: str = "ann") -> Metadata:
    """Return the metadata of somebody with roles."""
    return (("kaon-tenant", tenant), ("kaon-principal", name), ("kaon-roles", ",".join(roles)))
