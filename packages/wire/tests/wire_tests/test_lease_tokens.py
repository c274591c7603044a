from __future__ import annotations

import base64
import json

import pytest

from kaon_wire.lease_tokens import TOKEN_BYTES, LeaseClaim, LeaseKeys, show

OLD, NEW = b"o" * 32, b"n" * 32
CLAIM = LeaseClaim(
    tenant="acme",
    run_id="run",
    path="loop[1]/train",
    attempt=1,
    generation=3,
    incarnation="runner-1",
)


def changed() -> list[LeaseClaim]:
    """The claim with another value in each of its fields, and with the same characters in other fields."""
    return [
        CLAIM._replace(tenant="other"),
        CLAIM._replace(run_id="other"),
        CLAIM._replace(path="loop[2]/train"),
        CLAIM._replace(attempt=2),
        CLAIM._replace(generation=4),
        CLAIM._replace(incarnation="runner-2"),
        CLAIM._replace(tenant="acmer", run_id="un"),
        CLAIM._replace(run_id="runloop", path="[1]/train"),
        CLAIM._replace(path="loop[1]/trainrunner", incarnation="-1"),
        CLAIM._replace(attempt=11, generation=33),
    ]


def test_a_token_proves_its_own_lease_and_no_other() -> None:
    keys = LeaseKeys((NEW,))
    token = keys.sign(CLAIM)
    assert len(token) == TOKEN_BYTES
    # Who has made it remembers it, and who has not once it was found valid.
    for checks in (keys, other := LeaseKeys((NEW,)), other):
        assert checks.verify(CLAIM, token)
        assert not any(checks.verify(claim, token) for claim in changed())


def test_a_lease_whose_token_is_remembered_takes_no_other() -> None:
    keys, first, second = LeaseKeys((NEW, OLD)), LeaseKeys((NEW,)), LeaseKeys((OLD,))
    wrong = LeaseKeys((b"w" * 32,)).sign(CLAIM)
    assert keys.verify(CLAIM, keys.sign(CLAIM))
    assert not keys.verify(CLAIM, wrong)
    assert not keys.verify(CLAIM, b"")
    # Each key has one of its own, and the last that was shown does not shut the other out.
    for _ in range(2):
        assert keys.verify(CLAIM, first.sign(CLAIM))
        assert keys.verify(CLAIM, second.sign(CLAIM))
    for claim in changed():
        keys.sign(claim)
        assert not keys.verify(claim, first.sign(CLAIM))


def test_more_leases_than_are_remembered_are_all_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaon_wire.lease_tokens._REMEMBERED", 3)
    keys = LeaseKeys((NEW,))
    claims = [CLAIM._replace(generation=number) for number in range(10)]
    tokens = [keys.sign(claim) for claim in claims]
    for _ in range(2):
        assert all(map(keys.verify, claims, tokens))
        assert not any(map(keys.verify, claims, tokens[1:] + tokens[:1]))


@pytest.mark.parametrize("place", range(TOKEN_BYTES))
def test_a_token_with_another_byte_proves_nothing(place: int) -> None:
    keys = LeaseKeys((NEW,))
    token = bytearray(keys.sign(CLAIM))
    token[place] ^= 1
    assert not keys.verify(CLAIM, bytes(token))


def test_what_is_no_token_proves_nothing() -> None:
    keys = LeaseKeys((NEW,))
    token = keys.sign(CLAIM)
    for wrong in (b"", token[:1], token[:-1], token + b"\0", token[:1] + bytes(15)):
        assert not keys.verify(CLAIM, wrong)


def test_keys_rotate() -> None:
    old, both, new = LeaseKeys((OLD,)), LeaseKeys((NEW, OLD)), LeaseKeys((NEW,))
    token = old.sign(CLAIM)
    assert both.verify(CLAIM, token)
    assert new.verify(CLAIM, both.sign(CLAIM))
    assert not new.verify(CLAIM, token)


def test_a_lease_is_shown_and_read() -> None:
    keys = LeaseKeys((NEW,))
    shown = show(CLAIM, keys.sign(CLAIM))
    assert shown.isascii()
    assert keys.shown(shown) == CLAIM
    assert keys.shown(show(CLAIM._replace(tenant="other"), keys.sign(CLAIM))) is None


def test_a_lease_that_is_not_what_it_should_be_is_none() -> None:
    keys = LeaseKeys((NEW,))
    documents: list[object] = [
        None,
        {},
        [],
        ["acme"] * 7,
        ["acme", "run", "s", 1e400, 1, "r", "token"],
        ["acme", "run", "s", True, 1, "r", "token"],
        ["acme", "run", "s", 1, 1, "r", "%"],
        ["acme", "run", "\ud800", 1, 1, "r", ""],
    ]
    texts = [base64.urlsafe_b64encode(json.dumps(each).encode()).decode() for each in documents]
    nested = base64.urlsafe_b64encode(b"[" * 3_000).decode()
    for text in (*texts, "", "%", "\xff", "A", "A" * 10_000, nested):
        assert keys.shown(text) is None
