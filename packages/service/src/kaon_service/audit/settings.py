"""Settings of the audit log, from environment variables; every service reads them alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from kaon_service.audit.log import AuditRules
from kaon_service.audit.signing import signer
from kaon_wire.errors import InvalidValue

_LONGEST_DAYS = 36_500


class Recorded(StrEnum):
    """Which calls are recorded."""

    OFF = "off"
    # Changes and refusals.
    CHANGES = "changes"
    # What only reads, too.
    ALL = "all"


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """What is recorded, and how it is kept."""

    # KAON_AUDIT.
    recorded: Recorded = Recorded.OFF
    # KAON_AUDIT_KEY and KAON_AUDIT_RETENTION_DAYS.
    rules: AuditRules = field(default_factory=AuditRules)
    # KAON_AUDIT_DATABASE: an SQLAlchemy URL; empty: the service's own database.
    database: str = ""


def audit_settings(environment: Mapping[str, str], *, authenticated: bool) -> AuditSettings:
    """Read the settings.

    Args:
        environment: The variables.
        authenticated: Whether callers are authenticated: then changes and refusals are recorded unless said otherwise.

    Raises:
        InvalidValue: A variable has an invalid value; the message names it.
    """
    told = environment.get("KAON_AUDIT", "")
    if told and told not in set(Recorded):
        raise InvalidValue(f"KAON_AUDIT: {told!r} is none of off, changes and all")
    usual = Recorded.CHANGES if authenticated else Recorded.OFF
    key = environment.get("KAON_AUDIT_KEY", "")
    days = _days(environment.get("KAON_AUDIT_RETENTION_DAYS", ""))
    rules = AuditRules(sign=signer(Path(key)), days=days) if key else AuditRules(days=days)
    return AuditSettings(
        recorded=Recorded(told) if told else usual,
        rules=rules,
        database=environment.get("KAON_AUDIT_DATABASE", ""),
    )


def _days(text: str) -> float:
    try:
        days = float(text or 0)
    except ValueError:
        days = -1.0
    if not 0 <= days <= _LONGEST_DAYS:
        raise InvalidValue(
            f"KAON_AUDIT_RETENTION_DAYS: {text!r} is no number of days from 0 to {_LONGEST_DAYS}"
        )
    return days
