"""Callers without authentication: they are who they say they are."""

from __future__ import annotations

from kaon_service.access.credentials import Credentials
from kaon_service.principal import Principal, principal_of


async def without_authentication(credentials: Credentials) -> Principal:
    """Return the caller that the metadata names.

    Raises:
        InvalidValue: The metadata names an invalid tenant or principal.
    """
    return principal_of(credentials.metadata.items())
