"""Static tokens: only the hash is kept, and what has ended passes no more."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from kaon_service.access.credentials import Credentials, StaticToken, Unauthenticated
from kaon_service.access.static_tokens import StaticTokens
from kaon_service.principal import Principal
from kaon_service.roles import Kind, Role, included

SHOWN = "kaon_abc123_" + "5" * 64
TOKEN = StaticToken(
    token_id="abc123",
    digest=hashlib.sha256(SHOWN.encode()).hexdigest(),
    tenant="shop",
    name="ann",
    roles=frozenset({Role.OPERATOR}),
    kind=Kind.PERSON,
    pool="",
    expires_us=2_000_000,
    revoked=False,
)


class Source:
    """Keeps one token, and counts how often it is asked."""

    def __init__(self, token: StaticToken) -> None:
        self.token = token
        self.asked: list[str] = []

    async def find(self, token_id: str) -> StaticToken | None:
        """Return the token of this id."""
        self.asked.append(token_id)
        return self.token if token_id == self.token.token_id else None


async def caller(shown: str, token: StaticToken = TOKEN, now: float = 1.0) -> Principal | None:
    """Who shows a token at a time."""
    tokens = StaticTokens(Source(token), now=lambda: now)
    return await tokens.authenticate(Credentials(metadata={"authorization": f"Bearer {shown}"}))


async def test_the_holder_is_known() -> None:
    assert await caller(SHOWN) == Principal(
        tenant="shop", name="ann", roles=included([Role.OPERATOR]), authentication="token"
    )


@pytest.mark.parametrize(
    ("shown", "token", "now"),
    [
        ("kaon_abc123_" + "6" * 64, TOKEN, 1.0),
        ("kaon_none_" + "5" * 64, TOKEN, 1.0),
        ("kaon_abc123", TOKEN, 1.0),
        ("kaon_", TOKEN, 1.0),
        (SHOWN, replace(TOKEN, revoked=True), 1.0),
        (SHOWN, TOKEN, 2.0),
        (SHOWN, replace(TOKEN, kind=Kind.SERVICE), 1.0),
    ],
)
async def test_what_does_not_count_is_refused(shown: str, token: StaticToken, now: float) -> None:
    with pytest.raises(Unauthenticated) as told:
        await caller(shown, token, now)
    assert shown not in told.value.reason


async def test_other_credentials_are_left_to_others() -> None:
    assert await caller("a.b.c") is None


async def test_the_source_is_asked_once_in_a_while() -> None:
    source = Source(TOKEN)
    tokens = StaticTokens(source, now=lambda: 1.0)
    shown = Credentials(metadata={"authorization": f"Bearer {SHOWN}"})
    for _ in range(3):
        await tokens.authenticate(shown)
    assert source.asked == ["abc123"]
