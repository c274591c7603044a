"""The file KAON_AUTH_FILE: issuers of tokens, and which claims and certificates are which principals."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kaon_service.access.watched import read_text
from kaon_service.principal import Principal, is_name, is_role, is_tenant
from kaon_service.roles import Kind, Role, included
from kaon_service.toml_table import Table
from kaon_wire.errors import InvalidValue

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_NAMES = ("uri:", "dns:", "email:")


@dataclass(frozen=True, kw_only=True)
class IssuerRules:
    """One OIDC issuer, and what its claims mean."""

    # As in the tokens' claim `iss`, such as "https://id.example.org".
    issuer: str
    # Of which a token must name one in its claim `aud`.
    audiences: tuple[str, ...]
    # Where this service reaches the issuer, if not at the URL that clients know, such as "https://issuer:8443" between
    # containers; empty: there.
    address: str = ""
    # File with certificates of authorities that this issuer's server is checked with; None: the system's.
    ca: Path | None = None
    # Id of the client with which `kaon login` logs people in; empty: it does not.
    client_id: str = ""
    # Claim with the tenant; empty: every holder is in `tenant`.
    tenant_claim: str = ""
    tenant: str = ""
    # Claim with the name of the principal.
    name_claim: str = "sub"
    # Claim with the roles: a list, or a text with spaces between them.
    roles_claim: str = "roles"
    # What a value of that claim grants. Other values grant the role of the same name, except the platform's administration.
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AuthRules:
    """What the file holds."""

    issuers: Mapping[str, IssuerRules] = field(default_factory=dict)
    # Principals by a subject alternative name, such as "uri:spiffe://example.org/consumer/shop".
    certificates: Mapping[str, Principal] = field(default_factory=dict)


def read_rules(path: Path) -> AuthRules:
    """Read the file.

    Raises:
        InvalidValue: It is missing or malformed; the message names the place.
    """
    text = read_text("KAON_AUTH_FILE", path)
    try:
        return _rules(Table(tomllib.loads(text), ""))
    except (tomllib.TOMLDecodeError, InvalidValue) as error:
        raise InvalidValue(f"KAON_AUTH_FILE: {path}: {error}") from error


def _rules(document: Table) -> AuthRules:
    issuers = [_issuer(each) for each in document.tables("issuer")]
    certificates = [_certificate(each) for each in document.tables("certificate")]
    document.end()
    return AuthRules(
        issuers=_once("issuer", ((each.issuer, each) for each in issuers)),
        certificates=_once("certificate", certificates),
    )


def _once(what: str, entries: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, entry in entries:
        if name in found:
            raise InvalidValue(f"{what} {name!r} is there twice")
        found[name] = entry
    return found


def _issuer(table: Table) -> IssuerRules:
    issuer = checked_url(table.text("issuer"), table.at("issuer"))
    audiences = table.texts("audience")
    if not audiences:
        raise InvalidValue(f"{table.at('audience')}: name whom the tokens must be for")
    address = table.text("address", "")
    if address:
        checked_url(address, table.at("address"))
    ca = table.text("ca", "")
    client_id = table.text("client_id", "")
    tenant = table.text("tenant", "")
    claims = table.table("claims")
    tenant_claim = claims.text("tenant", "")
    name_claim, roles_claim = claims.text("name", "sub"), claims.text("roles", "roles")
    claims.end()
    if bool(tenant) == bool(tenant_claim):
        raise InvalidValue(
            f"{table.place}: name the tenant of all its holders in `tenant`, or the claim that holds it in `claims.tenant`"
        )
    if tenant and not is_tenant(tenant):
        raise InvalidValue(f"{table.at('tenant')}: {tenant!r} is no name of a tenant")
    roles_table = table.table("roles")
    roles = {name: _roles(roles_table, name) for name in roles_table.names()}
    table.end()
    return IssuerRules(
        issuer=issuer,
        audiences=audiences,
        address=address,
        ca=Path(ca) if ca else None,
        client_id=client_id,
        tenant_claim=tenant_claim,
        tenant=tenant,
        name_claim=name_claim,
        roles_claim=roles_claim,
        roles=roles,
    )


def _certificate(table: Table) -> tuple[str, Principal]:
    name = table.text("name")
    if not name.startswith(_NAMES):
        raise InvalidValue(f"{table.at('name')}: {name!r} begins with none of {', '.join(_NAMES)}")
    principal = table.text("principal")
    tenant, pool = table.text("tenant", ""), table.text("pool", "")
    kind = table.text("kind", Kind.PERSON)
    roles = _roles(table, "roles")
    table.end()
    if kind not in set(Kind) - {Kind.SERVICE}:
        raise InvalidValue(f"{table.at('kind')}: {kind!r} is not person, runner or consumer")
    if not is_name(principal):
        raise InvalidValue(
            f"{table.at('principal')}: use 1 to 200 printable ASCII characters for a name"
        )
    if kind == Kind.RUNNER and not pool:
        raise InvalidValue(f"{table.at('pool')}: a runner needs its pool")
    if kind != Kind.RUNNER and not is_tenant(tenant):
        raise InvalidValue(f"{table.at('tenant')}: {tenant!r} is no name of a tenant")
    return name, Principal(
        tenant=tenant,
        name=principal,
        roles=included(roles),
        kind=Kind(kind),
        pool=pool,
        authentication="certificate",
    )


def _roles(table: Table, name: str) -> tuple[str, ...]:
    roles = table.texts(name)
    if wrong := [each for each in roles if not is_role(each)]:
        raise InvalidValue(f"{table.at(name)}: {wrong[0]!r} is no name of a role")
    return roles


def checked_url(url: str, place: str) -> str:
    """Return the URL of an issuer or of its keys.

    Raises:
        InvalidValue: It is not HTTPS, and not on this machine.
    """
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in _LOCAL_HOSTS
    if not parts.hostname or not (parts.scheme == "https" or local):
        raise InvalidValue(f"{place}: {url!r} does not begin with https://")
    return url


def granted(rules: IssuerRules, values: Iterable[str]) -> frozenset[str]:
    """Return the roles that values of the claim grant, with all that they include."""
    found: set[str] = set()
    for value in values:
        if value in rules.roles:
            found.update(rules.roles[value])
        elif is_role(value) and value != Role.PLATFORM_ADMIN:
            found.add(value)
    return included(found)
