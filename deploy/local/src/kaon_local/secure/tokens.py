"""Tokens of everybody in a closed system, kept in a file for shells."""

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from kaon_coordinator.access import tokens
from kaon_coordinator.store.base import Store, TenantRecord
from kaon_coordinator.store.sql import open_store
from kaon_local.secure.files import write_private
from kaon_local.secure.people import Holder

_MADE_BY = "make dev"
_DAYS = 30
_DAY_US = 86_400_000_000
_LINE = re.compile(r"export ([A-Z_0-9]+)='([^']*)'\Z")


def ensure(database: str, holders: Iterable[Holder], known: Mapping[str, str]) -> dict[str, str]:
    """Make the tenants and tokens that are missing in a database; return the tokens by their variables.

    Args:
        database: URL of the coordinators' database.
        holders: Who needs a token.
        known: Tokens of an earlier start. Those that are valid for a day more stay: shells may have them.
    """
    store = open_store(database)
    now_us = time.time_ns() // 1_000
    try:
        return {
            holder.variable: _ensure(store, holder, known.get(holder.variable, ""), now_us)
            for holder in holders
        }
    finally:
        store.close()


def read_environment(path: Path) -> dict[str, str]:
    """Return what a file of `write_environment` holds; nothing when there is none."""
    if not path.exists():
        return {}
    found = (_LINE.match(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {match[1]: match[2] for match in found if match}


def write_environment(path: Path, variables: Mapping[str, str]) -> None:
    """Write variables for shells, in a file that its owner alone can read."""
    lines = "".join(f"export {name}='{value}'\n" for name, value in variables.items())
    write_private(path, lines)


def _ensure(store: Store, holder: Holder, known: str, now_us: int) -> str:
    if store.find_tenant(holder.tenant) is None:
        store.put_tenant(
            TenantRecord(name=holder.tenant, enabled=True, create_us=now_us, created_by=_MADE_BY)
        )
    if known and _still_counts(store, known, now_us):
        return known
    record, shown = tokens.new_token(
        tokens.Holder(
            tenant=holder.tenant,
            name=holder.name,
            roles=[holder.role] if holder.role else [],
            kind=holder.kind,
            pool=holder.pool,
        ),
        created_by=_MADE_BY,
        now_us=now_us,
        expire_us=now_us + _DAYS * _DAY_US,
    )
    store.add_token(record)
    return shown


def _still_counts(store: Store, shown: str, now_us: int) -> bool:
    parts = shown.split("_")
    record = store.find_token(parts[1]) if len(parts) > 1 else None
    return (
        record is not None
        and record.digest == hashlib.sha256(shown.encode()).hexdigest()
        and not record.revoke_us
        and record.expire_us > now_us + _DAY_US
    )
