"""Kaon's services show each other who they are, and for whom they call, in tokens that only they can sign."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jwt

from kaon_service.access.credentials import Credentials, Unauthenticated
from kaon_service.access.watched import Watched
from kaon_service.principal import Principal, is_name, is_role, is_tenant
from kaon_service.roles import Kind
from kaon_wire.key_files import read_keys

# The metadata in which a service shows its token.
SERVICE_KEY = "kaon-service"
SECONDS = 60
# Between the clocks of two machines.
_LEEWAY = 30
_ALGORITHM = "HS256"
_TYPE = "kaon-service+jwt"
_ISSUER = "kaon"


class ServiceKeys:
    """Signs and verifies tokens with the keys of a file, which is read again when it changes.

    The file has a key in each line, the newest first. The first key signs, and every key verifies.

    Args:
        path: The file.
        deployment: The services among which the tokens count.
        now: Returns seconds since the epoch.

    Raises:
        InvalidValue: The file is missing or malformed.
    """

    def __init__(self, path: Path, deployment: str, now: Callable[[], float] = time.time) -> None:
        self._keys = Watched([path], lambda: _keys_of(path))
        self._deployment = deployment
        self._now = now

    def sign(self, service: str, caller: Principal | None = None) -> str:
        """Return a token of a service, such as "console", that calls for a principal, or for itself."""
        key_id, key = next(iter(self._keys.get().items()))
        now = int(self._now())
        claims: dict[str, Any] = {
            "iss": _ISSUER,
            "aud": self._deployment,
            "sub": service,
            "iat": now,
            "exp": now + SECONDS,
        }
        if caller is not None:
            claims["for"] = {
                "tenant": caller.tenant,
                "name": caller.name,
                "roles": sorted(caller.roles),
                "kind": caller.kind,
                "pool": caller.pool,
            }
        return jwt.encode(claims, key, _ALGORITHM, headers={"kid": key_id, "typ": _TYPE})

    def verify(self, token: str) -> Principal:
        """Return the principal for whom a service calls, or the service itself.

        Raises:
            Unauthenticated: No service of this deployment has signed the token just now.
        """
        try:
            claims = self._claims(token)
        except (jwt.PyJWTError, ValueError) as error:
            raise Unauthenticated(f"token of a service: {type(error).__name__}") from error
        try:
            return _principal(claims)
        except (KeyError, TypeError, ValueError) as error:
            raise Unauthenticated("token of a service: it names no valid principal") from error

    def _claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        key = self._keys.get().get(str(header.get("kid", "")))
        if key is None or header.get("typ") != _TYPE:
            raise ValueError("not a token of a service, or its key is not known")
        return jwt.decode(
            token,
            key,
            algorithms=[_ALGORITHM],
            audience=self._deployment,
            issuer=_ISSUER,
            leeway=_LEEWAY,
            options={"require": ["exp", "iat", "aud", "iss", "sub"]},
        )


class ServiceAuthenticator:
    """Knows the services of this deployment, and whom they pass on."""

    def __init__(self, keys: ServiceKeys) -> None:
        self._keys = keys

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return the caller; None when no service calls.

        Raises:
            Unauthenticated: The token is not one of a service.
        """
        token = credentials.metadata.get(SERVICE_KEY)
        return None if token is None else self._keys.verify(token)


def _keys_of(path: Path) -> Mapping[str, bytes]:
    """Return the keys by their ids, the newest first.

    Raises:
        InvalidValue: The file is missing or malformed. The message quotes no key.
    """
    return {_key_id(key): key for key in read_keys(str(path), "KAON_SERVICE_KEYS")}


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"kaon service key\0" + key).hexdigest()[:16]


def _principal(claims: Mapping[str, Any]) -> Principal:
    """Return the principal of verified claims.

    Raises:
        KeyError: Something is missing.
        TypeError: Something has another type.
        ValueError: Something has no valid value.
    """
    service = claims["sub"]
    if "for" not in claims:
        return Principal(name=service, kind=Kind.SERVICE, authentication="service", via=service)
    told = claims["for"]
    roles = frozenset(told["roles"])
    valid = is_tenant(told["tenant"]) and is_name(told["name"]) and all(map(is_role, roles))
    if not valid:
        raise ValueError("no valid principal")
    return Principal(
        tenant=told["tenant"],
        name=told["name"],
        roles=roles,
        kind=Kind(told["kind"]),
        pool=str(told["pool"]),
        authentication="service",
        via=service,
    )
