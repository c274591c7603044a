"""What a call shows of its caller, and those who make a principal of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from kaon_service.principal import Principal
from kaon_service.roles import Kind
from kaon_wire.errors import KaonError


class Unauthenticated(KaonError):
    """A call shows no valid credentials. The text never says which part was wrong.

    Args:
        reason: Which part was wrong, for the log. It never quotes what was shown.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            "the call shows no valid credentials. Log in with `kaon login`, or set KAON_TOKEN"
        )
        self.reason = reason


class Forbidden(KaonError):
    """The caller is known, and may not do this. The text names the role that is needed."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What one call shows."""

    # Metadata with a text as its value; of a key that is there twice, the last one.
    metadata: Mapping[str, str]
    # Subject alternative names of the client's certificate, which TLS has verified; empty without one.
    certificate_names: tuple[str, ...] = ()

    @property
    def bearer(self) -> str:
        """Return the token of `authorization: Bearer TOKEN`; empty without one."""
        scheme, _, token = self.metadata.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


class Authenticate(Protocol):
    """Makes principals of the credentials of every call: the chain of all authenticators of a service."""

    async def __call__(self, credentials: Credentials) -> Principal:
        """Return the caller.

        Raises:
            Unauthenticated: The credentials are missing, or not valid.
            InvalidValue: Without authentication: the metadata names an invalid tenant or principal.
            Unavailable: What is needed to check them does not answer.
        """


class Authenticator(Protocol):
    """Makes principals of one kind of credentials."""

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return the caller; None when the credentials are of another kind.

        Raises:
            Unauthenticated: The credentials are of this kind, and not valid.
            Unavailable: What is needed to check them does not answer.
        """


@dataclass(frozen=True, kw_only=True)
class StaticToken:
    """What is kept of a token: everything but its secret."""

    token_id: str
    # SHA-256 of the whole token, in hexadecimal digits.
    digest: str
    tenant: str
    name: str
    roles: frozenset[str]
    kind: Kind
    # The pool of a runner; empty for others.
    pool: str
    # Microseconds since the epoch; None: never.
    expires_us: int | None
    revoked: bool


class TokenSource(Protocol):
    """Where static tokens are found."""

    async def find(self, token_id: str) -> StaticToken | None:
        """Return a token, also one that has expired or was revoked; None when there is none of this id.

        Raises:
            Unavailable: The source does not answer.
        """


class TenantSource(Protocol):
    """Where tenants are found: with authentication, a tenant exists because an administrator made it."""

    async def is_enabled(self, name: str) -> bool:
        """Return whether a tenant exists and is not disabled.

        Every call is checked, so implementations remember answers for some seconds.

        Raises:
            Unavailable: The source does not answer.
        """
