"""How much each tenant may use of the services themselves, from the file KAON_TENANTS."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from kaon_wire.errors import InvalidValue


@dataclass(frozen=True, kw_only=True)
class TenantLimits:
    """Limits of one tenant; 0 means no limit.

    Calls and streams are counted by each process; what is stored, by all together. A stored thing's limit may be exceeded by as
    many as are made at the same moment.
    """

    # Calls a second, on average; twice as many at once.
    calls_per_second: int = 0
    # Streams that are open at once: watches, logs that are followed, uploads.
    streams: int = 0
    # Submitted runs a minute, on average; as many at once.
    submissions_per_minute: int = 0
    # Runs that have not ended.
    open_runs: int = 0
    # Names of workflows.
    workflows: int = 0
    # Versions of one workflow.
    versions: int = 0
    schedules: int = 0
    # Bytes of artifacts and code bundles: what was uploaded, and what steps have given.
    artifact_bytes: int = 0
    # Seconds that one upload may take.
    upload_seconds: int = 0


NO_LIMITS = TenantLimits()
_NAMES = tuple(each.name for each in fields(TenantLimits))


@dataclass(frozen=True, kw_only=True)
class AllLimits:
    """The limits of every tenant."""

    named: Mapping[str, TenantLimits] = field(default_factory=dict)
    default: TenantLimits = NO_LIMITS

    def of(self, tenant: str) -> TenantLimits:
        """Return the limits of a tenant."""
        return self.named.get(tenant, self.default)


def tenant_file(path: str) -> Mapping[str, Any]:
    """Read the file KAON_TENANTS, TOML or JSON; an empty path means an empty file.

    Raises:
        InvalidValue: The file is missing or malformed; the message names the place.
    """
    if not path:
        return {}
    try:
        text = Path(path).read_text(encoding="utf-8")
        document = json.loads(text) if path.endswith(".json") else tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"KAON_TENANTS: {path} cannot be read: {error}") from error
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        kind = "JSON" if path.endswith(".json") else "TOML"
        raise InvalidValue(f"KAON_TENANTS: {path} is not {kind}: {error}") from error
    if not isinstance(document, dict):
        raise InvalidValue(f"KAON_TENANTS: {path} holds no table")
    return document


def limits_from(document: Mapping[str, Any]) -> AllLimits:
    """Parse the tables `default.limits` and `tenants.NAME.limits` of the file.

    Raises:
        InvalidValue: A limit is unknown or no number; the message names the place.
    """
    default = _limits("default", document.get("default", {}), NO_LIMITS)
    tenants = document.get("tenants", {})
    if not isinstance(tenants, Mapping):
        raise InvalidValue("tenants: is not a table")
    named = {name: _limits(f"tenants.{name}", table, default) for name, table in tenants.items()}
    return AllLimits(named=named, default=default)


def load_limits(path: str) -> AllLimits:
    """Read the limits from the file KAON_TENANTS.

    Raises:
        InvalidValue: The file is missing or malformed; the message names the place.
    """
    return limits_in(path, tenant_file(path))


def limits_in(path: str, document: Mapping[str, Any]) -> AllLimits:
    """Return the limits in the content of the file KAON_TENANTS.

    Raises:
        InvalidValue: The content is malformed; the message names the place.
    """
    try:
        return limits_from(document)
    except InvalidValue as error:
        raise InvalidValue(f"KAON_TENANTS: {path}: {error}") from error


def _limits(place: str, table: Any, base: TenantLimits) -> TenantLimits:
    given = table.get("limits", {}) if isinstance(table, Mapping) else {}
    if not isinstance(given, Mapping):
        raise InvalidValue(f"{place}.limits: is not a table")
    for name, value in given.items():
        if name not in _NAMES:
            raise InvalidValue(f"{place}.limits.{name}: not known; use {', '.join(_NAMES)}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InvalidValue(
                f"{place}.limits.{name}: {value!r} is not a whole number; 0 means no limit"
            )
    return replace(base, **given)
