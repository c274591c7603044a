"""Callers with a static token, `kaon_ID_SECRET`: the services keep its hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable

from kaon_service.access.credentials import Credentials, StaticToken, TokenSource, Unauthenticated
from kaon_service.access.remembered import Remembered
from kaon_service.principal import Principal
from kaon_service.roles import Kind, included

# For so long a token still passes after it was revoked.
CACHE_SECONDS = 20.0
_PREFIX = "kaon_"
_TOKEN = re.compile(r"kaon_([A-Za-z0-9]{1,64})_([A-Za-z0-9-]{20,200})\Z")


class StaticTokens:
    """Knows the holders of static tokens.

    Args:
        source: Where tokens are found.
        seconds: For so long an answer of the source counts.
        now: Returns seconds since the epoch.
    """

    def __init__(
        self,
        source: TokenSource,
        seconds: float = CACHE_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        async def find(token_id: str) -> tuple[StaticToken, Principal] | None:
            token = await source.find(token_id)
            return None if token is None else (token, _holder(token))

        self._found = Remembered(find, seconds)
        self._now = now

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return the caller; None when it shows no static token.

        Raises:
            Unauthenticated: The token is unknown, has expired or was revoked.
            Unavailable: The source of tokens does not answer.
        """
        shown = credentials.bearer
        if not shown.startswith(_PREFIX):
            return None
        match = _TOKEN.match(shown)
        if match is None:
            raise Unauthenticated("static token: malformed")
        found = await self._found.get(match[1])
        digest = hashlib.sha256(shown.encode()).hexdigest()
        if found is None or not hmac.compare_digest(digest, found[0].digest):
            raise Unauthenticated("static token: unknown")
        token, holder = found
        if reason := self._ended(token):
            raise Unauthenticated(f"static token {token.token_id}: {reason}")
        return holder

    def _ended(self, token: StaticToken) -> str:
        """Return why a token does not count any more; empty when it does."""
        if token.revoked:
            return "revoked"
        if token.expires_us is not None and self._now() * 1e6 >= token.expires_us:
            return "expired"
        return "services show KAON_SERVICE_KEYS, no token" if token.kind is Kind.SERVICE else ""


def _holder(token: StaticToken) -> Principal:
    """Return who calls with a token."""
    return Principal(
        tenant=token.tenant,
        name=token.name,
        roles=included(token.roles),
        kind=token.kind,
        pool=token.pool,
        authentication="token",
    )
