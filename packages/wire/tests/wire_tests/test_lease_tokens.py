from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from kaon_wire.errors import InvalidValue
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
        replace(CLAIM, tenant="other"),
        replace(CLAIM, run_id="other"),
        replace(CLAIM, path="loop[2]/train"),
        replace(CLAIM, attempt=2),
        replace(CLAIM, generation=4),
        replace(CLAIM, incarnation="runner-2"),
        replace(CLAIM, tenant="acmer", run_id="un"),
        replace(CLAIM, run_id="runloop", path="[1]/train"),
        replace(CLAIM, path="loop[1]/trainrunner", incarnation="-1"),
        replace(CLAIM, attempt=11, generation=33),
    ]


def test_a_token_proves_its_own_lease_and_no_other() -> None:
    keys = LeaseKeys((NEW,))
    token = keys.sign(CLAIM)
    assert len(token) == TOKEN_BYTES
    # Twice: a token that was found valid is remembered.
    for _ in range(2):
        assert keys.verify(CLAIM, token)
        assert not any(keys.verify(claim, token) for claim in changed())


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
    assert keys.shown(show(replace(CLAIM, tenant="other"), keys.sign(CLAIM))) is None


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


def test_keys_are_read_from_a_file_with_the_newest_first(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    lines = [base64.b64encode(NEW), b"", b"# of last month", base64.urlsafe_b64encode(OLD)]
    file.write_bytes(b"\n".join(lines))
    keys = LeaseKeys.read({"KAON_LEASE_KEYS": str(file)})
    assert keys is not None
    assert keys.sign(CLAIM) == LeaseKeys((NEW,)).sign(CLAIM)
    assert keys.verify(CLAIM, LeaseKeys((OLD,)).sign(CLAIM))
    assert LeaseKeys.read({}) is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "holds no key"),
        ("secret words\n", "line 1 of .* is not base64"),
        (base64.b64encode(b"short").decode(), "a key of 5 bytes; at least 32"),
        (f"{base64.b64encode(NEW).decode()}\n" * 2, "the same key twice"),
    ],
)
def test_a_file_of_keys_with_a_fault_is_refused_without_showing_it(
    tmp_path: Path, content: str, problem: str
) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(InvalidValue, match=f"KAON_LEASE_KEYS: .*{problem}") as refused:
        LeaseKeys.read({"KAON_LEASE_KEYS": str(file)})
    assert not content or content.strip() not in str(refused.value)


def test_a_missing_file_of_keys_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"KAON_LEASE_KEYS: .*nowhere cannot be read"):
        LeaseKeys.read({"KAON_LEASE_KEYS": str(tmp_path / "nowhere")})
