"""Entitlements of tenants: weights for fairness, and quotas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kaon_coordinator.matching.amounts import NOTHING, Amount
from kaon_wire.errors import InvalidValue

# `limits` is not about scheduling: kaon_service.access.limits reads it.
_KEYS = frozenset({"weight", "quota", "pools", "limits"})
_QUOTA_KEYS = ("slots", "cpu", "memory", "gpu", "custom")
_SUFFIXES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


@dataclass(frozen=True, kw_only=True)
class Entitlement:
    """The entitlement of one tenant in one pool."""

    # Divides the share: with weight 2, a tenant gets twice as much as with weight 1 when both demand more.
    weight: float = 1.0
    # The most that its steps occupy at once; 0 in a resource means no limit.
    quota: Amount = NOTHING


@dataclass(frozen=True, kw_only=True)
class Tenants:
    """The entitlements of all tenants, by (tenant, pool); others have `default`."""

    named: Mapping[str, Entitlement] = field(default_factory=dict)
    in_pool: Mapping[tuple[str, str], Entitlement] = field(default_factory=dict)
    default: Entitlement = Entitlement()

    def of(self, tenant: str, pool: str) -> Entitlement:
        """Return a tenant's entitlement in a pool."""
        found = self.in_pool.get((tenant, pool))
        return found or self.named.get(tenant, self.default)


NO_LIMITS = Tenants()


def tenants_from(document: Mapping[str, Any]) -> Tenants:
    """Parse a settings document of entitlements; docs/scheduling.md shows one.

    Raises:
        InvalidValue: The document is malformed; the message names the place.
    """
    unknown = set(document) - {"default", "tenants"}
    if unknown:
        raise InvalidValue(f"{min(unknown)}: not known here; use [default] and [tenants.NAME]")
    default = _entitlement("default", _table("default", document.get("default", {})), Entitlement())
    named: dict[str, Entitlement] = {}
    in_pool: dict[tuple[str, str], Entitlement] = {}
    for name, table in [
        ("default", document.get("default", {})),
        *_table("tenants", document.get("tenants", {})).items(),
    ]:
        place = name if name == "default" else f"tenants.{name}"
        whole = _entitlement(place, _table(place, table), default)
        if place != "default":
            named[name] = whole
        elif "pools" in table:
            raise InvalidValue("default.pools: only a named tenant has settings by pool")
        for pool, special in _table(f"{place}.pools", table.get("pools", {})).items():
            where = f"{place}.pools.{pool}"
            in_pool[name, pool] = _entitlement(where, _table(where, special), whole)
    return Tenants(named=named, in_pool=in_pool, default=default)


def _entitlement(place: str, table: Mapping[str, Any], base: Entitlement) -> Entitlement:
    unknown = set(table) - _KEYS
    if unknown:
        raise InvalidValue(f"{place}.{min(unknown)}: not known; use weight, quota, pools or limits")
    weight = table.get("weight", base.weight)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 1e6:
        raise InvalidValue(
            f"{place}.weight: {weight!r} is not a number above 0 (and up to 1000000)"
        )
    quota = (
        _quota(f"{place}.quota", _table(f"{place}.quota", table["quota"]))
        if "quota" in table
        else base.quota
    )
    return Entitlement(weight=float(weight), quota=quota)


def _quota(place: str, table: Mapping[str, Any]) -> Amount:
    unknown = set(table) - set(_QUOTA_KEYS)
    if unknown:
        raise InvalidValue(f"{place}.{min(unknown)}: not known; use {', '.join(_QUOTA_KEYS)}")
    custom = {
        name: _count(f"{place}.custom.{name}", value)
        for name, value in _table(f"{place}.custom", table.get("custom", {})).items()
    }
    return (
        _count(f"{place}.slots", table["slots"]) if "slots" in table else 0,
        _milli(f"{place}.cpu", table["cpu"]) if "cpu" in table else 0,
        _bytes(f"{place}.memory", table["memory"]) if "memory" in table else 0,
        _count(f"{place}.gpu", table["gpu"]) if "gpu" in table else 0,
        tuple(sorted(custom.items())),
    )


def _table(place: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidValue(f"{place}: {value!r} is not a table")
    return value


def _count(place: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidValue(
            f"{place}: {value!r} is not a whole number above 0; leave it out for no limit"
        )
    return value


def _milli(place: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0.001:
        raise InvalidValue(
            f"{place}: {value!r} is not a number of cores above 0; leave it out for no limit"
        )
    return int(value * 1000)


def _bytes(place: str, value: Any) -> int:
    if isinstance(value, str):
        for suffix, unit in _SUFFIXES.items():
            number = value.removesuffix(suffix).strip()
            if number != value.strip() and number.isdigit() and int(number) > 0:
                return int(number) * unit
        raise InvalidValue(
            f'{place}: {value!r} is not a size; write a number of bytes or one such as "64GiB"'
        )
    return _count(place, value)
