"""Keys of an issuer: they rotate, nobody makes us ask more often than allowed, and what it says is bounded."""

from __future__ import annotations

import asyncio
import json

import pytest
from oidc_issuer import Issuer, private_key, public_jwk

from kaon_service.access import fetching
from kaon_service.access.fetching import fetch_json
from kaon_service.access.issuer_keys import FRESH, LEAST, LONGEST, IssuerKeys
from kaon_wire.errors import Unavailable

DISCOVERY = "/.well-known/openid-configuration"


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def fetches(issuer: Issuer) -> int:
    """How often the keys were asked for."""
    return issuer.asked.count("/keys")


async def test_keys_are_fetched_once_for_many_callers(issuer: Issuer) -> None:
    keys = IssuerKeys(issuer.url)
    found = await asyncio.gather(*(keys.find("rs256", "RS256") for _ in range(20)))
    assert all(found)
    assert fetches(issuer) == 1


async def test_unknown_keys_make_nobody_ask_more_often_than_once_in_some_seconds(
    issuer: Issuer,
) -> None:
    clock = Clock()
    keys = IssuerKeys(issuer.url, clock=clock)
    for number in range(50):
        assert await keys.find(f"unknown-{number}", "RS256") is None
    assert fetches(issuer) == 1
    clock.now += LEAST
    await asyncio.gather(*(keys.find(f"more-{number}", "RS256") for number in range(50)))
    assert fetches(issuer) == 2


async def test_a_new_key_is_found_and_an_old_one_is_gone(issuer: Issuer) -> None:
    clock = Clock()
    keys = IssuerKeys(issuer.url, clock=clock)
    assert await keys.find("rs256", "RS256")
    issuer.keys = [public_jwk(private_key("RS256", 1), "RS256", "next")]
    clock.now += LEAST
    assert await keys.find("next", "RS256")
    assert await keys.find("rs256", "RS256") is None


async def test_keys_that_are_not_fresh_are_fetched_again_while_nobody_waits(issuer: Issuer) -> None:
    clock = Clock()
    keys = IssuerKeys(issuer.url, clock=clock)
    await keys.find("rs256", "RS256")
    clock.now += FRESH
    assert await keys.find("rs256", "RS256")
    assert keys._asking is not None
    await keys._asking
    assert fetches(issuer) == 2


async def test_an_issuer_that_clients_know_by_another_url_is_asked_at_its_address(
    issuer: Issuer,
) -> None:
    """As between containers; keys that lie elsewhere are still fetched from there."""
    public, elsewhere = "https://login.example.org", f"{issuer.url}/elsewhere"
    for jwks, asked in ((f"{public}/keys", "/keys"), (elsewhere, "/elsewhere")):
        issuer.asked.clear()
        told = {"issuer": public, "jwks_uri": jwks}
        issuer.answers[DISCOVERY] = (200, json.dumps(told).encode(), {})
        issuer.answers["/elsewhere"] = issuer.document("/keys")
        issuer.asked.clear()
        assert await IssuerKeys(public, address=issuer.url).find("rs256", "RS256")
        assert issuer.asked == [DISCOVERY, asked]


async def test_an_issuer_that_is_away_is_borne_for_a_while(issuer: Issuer) -> None:
    clock = Clock()
    keys = IssuerKeys(issuer.url, clock=clock)
    await keys.find("rs256", "RS256")
    issuer.answers["/keys"] = (500, b"", {})
    clock.now += LONGEST - 1
    assert await keys.find("rs256", "RS256")
    assert keys._asking is not None
    with pytest.raises(Unavailable):
        await keys._asking
    clock.now += LEAST
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"^the issuer of the token does not answer$"):
            await keys.find("rs256", "RS256")
    assert fetches(issuer) == 3


async def test_a_caller_that_goes_away_takes_the_answer_from_nobody(issuer: Issuer) -> None:
    keys = IssuerKeys(issuer.url)
    first = asyncio.create_task(keys.find("rs256", "RS256"))
    second = asyncio.create_task(keys.find("rs256", "RS256"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second
    assert fetches(issuer) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"use": "enc"},
        {"alg": "RS512"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"n": "AQAB"},
        {"n": "not base64!"},
    ],
)
async def test_keys_that_are_not_for_this_are_not_used(
    issuer: Issuer, changed: dict[str, str]
) -> None:
    issuer.keys = [{**issuer.keys[0], **changed}]
    assert await IssuerKeys(issuer.url).find("rs256", "RS256") is None


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"[]", {}),
        (200, b"not json", {}),
        (200, b'{"issuer": "https://elsewhere.example"}', {}),
        (200, b" " * (fetching._BYTES + 1), {}),
        (302, b"", {"Location": "/keys"}),
        (500, b"", {}),
    ],
)
async def test_a_discovery_document_that_is_none_is_not_believed(
    issuer: Issuer, answer: tuple[int, bytes, dict[str, str]]
) -> None:
    issuer.answers[DISCOVERY] = answer
    with pytest.raises(Unavailable):
        await IssuerKeys(issuer.url).find("rs256", "RS256")
    assert issuer.asked == [DISCOVERY]


async def test_keys_are_fetched_over_encrypted_lines_only(issuer: Issuer) -> None:
    told = {"issuer": issuer.url, "jwks_uri": "http://keys.example/keys"}
    issuer.answers[DISCOVERY] = (200, json.dumps(told).encode(), {})
    with pytest.raises(Unavailable):
        await IssuerKeys(issuer.url).find("rs256", "RS256")
    for url in ("http://keys.example/keys", "file:///etc/passwd", "keys"):
        with pytest.raises(Unavailable, match="does not begin with https://"):
            fetch_json(url, None)


def test_what_comes_too_slowly_is_not_waited_for(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_WHOLE", -1.0)
    with pytest.raises(Unavailable, match="took longer"):
        fetch_json(f"{issuer.url}/keys", None)
