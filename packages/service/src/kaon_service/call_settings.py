"""Settings about the calls to a service; every service reads them alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kaon_service.access.access_settings import AccessSettings, Auth, access_from
from kaon_service.access.limits import AllLimits, limits_in, load_limits
from kaon_service.access.open_lines import closes_database
from kaon_service.audit.settings import AuditSettings, audit_settings


@dataclass(frozen=True, kw_only=True)
class CallSettings:
    """Who may call, what is recorded of calls, and how many of them are taken."""

    # KAON_AUTH, KAON_TLS and others.
    access: AccessSettings = field(default_factory=AccessSettings)
    # KAON_AUDIT, KAON_AUDIT_KEY, KAON_AUDIT_RETENTION_DAYS, KAON_AUDIT_DATABASE.
    audit: AuditSettings = field(default_factory=AuditSettings)
    # KAON_TENANTS: the tables `limits` of this file.
    limits: AllLimits = field(default_factory=AllLimits)

    @property
    def lines(self) -> Mapping[str, bool]:
        """Return whether the line to the audit log is closed, where it has a database of its own, by its variable."""
        place = self.audit.database
        return {"KAON_AUDIT_DATABASE": closes_database(place)} if place else {}


def call_settings(
    environment: Mapping[str, str], tenants: Mapping[str, Any] | None = None
) -> CallSettings:
    """Read the settings from the environment; absent variables have their defaults.

    Args:
        environment: The variables.
        tenants: The content of the file KAON_TENANTS; None: it is read.

    Raises:
        InvalidValue: A variable has an invalid value; the message names it.
    """
    access, path = access_from(environment), environment.get("KAON_TENANTS", "")
    return CallSettings(
        access=access,
        audit=audit_settings(environment, authenticated=access.auth is Auth.ON),
        limits=load_limits(path) if tenants is None else limits_in(path, tenants),
    )
