"""Tokens between services: only who holds a key makes one, for a minute, and in one deployment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from kaon_service.access.calling import Calling
from kaon_service.access.credentials import Credentials, Unauthenticated
from kaon_service.access.service_keys import ServiceAuthenticator, ServiceKeys
from kaon_service.principal import Principal
from kaon_service.roles import Kind, Role, included
from kaon_wire.errors import InvalidValue
from service_tests.access.issuer import unsigned

OLD, NEW = "o" * 32, "n" * 32
ANN = Principal(tenant="shop", name="ann", roles=included([Role.AUTHOR]), authentication="token")


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"# newest first\nnew {NEW}\nold {OLD}\n")
    return path


def keys_at(path: Path, deployment: str = "kaon", now: float = 0) -> ServiceKeys:
    """The keys of a service, some seconds from now."""
    return ServiceKeys(path, deployment, now=lambda: time.time() + now)


async def test_a_service_passes_its_caller_on(path: Path) -> None:
    shown = dict(Calling(service="console", keys=keys_at(path)).metadata_for(ANN))
    found = await ServiceAuthenticator(keys_at(path)).authenticate(Credentials(metadata=shown))
    assert found == Principal(
        tenant="shop", name="ann", roles=ANN.roles, authentication="service", via="console"
    )


def test_a_service_calls_for_itself(path: Path) -> None:
    ((_, shown),) = Calling(service="publisher", keys=keys_at(path)).own_metadata
    found = keys_at(path).verify(shown)
    assert (found.kind, found.name, found.roles) == (Kind.SERVICE, "publisher", frozenset())


def test_a_caller_without_authentication_gets_no_role_by_being_passed_on(path: Path) -> None:
    anybody = Principal(name="bob")
    assert anybody.holds(Role.PLATFORM_ADMIN)
    found = keys_at(path).verify(keys_at(path).sign("console", anybody))
    assert not any(found.holds(role) for role in Role)


async def test_who_shows_none_is_left_to_others(path: Path) -> None:
    shown = Credentials(metadata={"authorization": "Bearer x"})
    assert await ServiceAuthenticator(keys_at(path)).authenticate(shown) is None


def test_keys_rotate_without_a_restart(path: Path) -> None:
    keys = keys_at(path)
    before = keys.sign("console", ANN)
    path.write_text(f"newest {'x' * 40}\nnew {NEW}\n")
    after = keys.sign("console", ANN)
    assert jwt.get_unverified_header(after)["kid"] == "newest"
    assert keys.verify(before) == keys.verify(after)
    path.write_text(f"newest {'x' * 40}\n")
    with pytest.raises(Unauthenticated):
        keys.verify(before)


def test_a_file_that_becomes_unreadable_changes_nothing(path: Path) -> None:
    keys = keys_at(path)
    path.write_text("short x\n")
    assert keys.verify(keys.sign("console", ANN)).name == "ann"


def _claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {"iss": "kaon", "aud": "kaon", "sub": "console", "iat": now, "exp": now + 60}
    return {name: value for name, value in {**claims, **changed}.items() if value is not None}


def _encoded(
    key: str = NEW, kid: str = "new", typ: str = "kaon-service+jwt", **changed: Any
) -> str:
    return jwt.encode(_claims(**changed), key, "HS256", headers={"kid": kid, "typ": typ})


CALLER = {"tenant": "shop", "name": "ann", "roles": [], "kind": "person", "pool": ""}
WRONG = {
    "nothing": "",
    "garbage": "a.b.c",
    "another key": _encoded(key="z" * 32),
    "the name of another key": _encoded(kid="old"),
    "an unknown key": _encoded(kid="none"),
    "another type": _encoded(typ="JWT"),
    "another deployment": _encoded(aud="other"),
    "another issuer": _encoded(iss="https://id.example.org"),
    "no end": _encoded(exp=None),
    "expired": _encoded(exp=int(time.time()) - 40),
    "none": unsigned(_claims(), {"alg": "none", "kid": "new", "typ": "kaon-service+jwt"}),
    "a tenant that cannot be": _encoded(**{"for": CALLER | {"tenant": "../x"}}),
    "no principal": _encoded(**{"for": {}}),
    "a kind that cannot be": _encoded(**{"for": CALLER | {"kind": "king"}}),
    "no list of roles": _encoded(**{"for": CALLER | {"roles": None}}),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_no_service_has_signed_just_now_is_refused(path: Path, what: str) -> None:
    assert keys_at(path).verify(_encoded(**{"for": CALLER})).name == "ann"
    with pytest.raises(Unauthenticated):
        keys_at(path).verify(WRONG[what])


def test_a_token_does_not_last(path: Path) -> None:
    with pytest.raises(Unauthenticated):
        keys_at(path).verify(keys_at(path, now=-100).sign("console", ANN))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no key"),
        ("new short\n", "line 1: write a name, a space and a secret"),
        (f"new {NEW}\nnew {OLD}\n", "line 2: the name 'new' is there twice"),
        (f"{NEW}\n", "line 1"),
    ],
)
def test_a_malformed_file_is_told_without_its_secrets(path: Path, text: str, words: str) -> None:
    path.write_text(text)
    with pytest.raises(InvalidValue, match=words) as told:
        keys_at(path)
    assert NEW not in str(told.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"KAON_SERVICE_KEYS: .*none cannot be read"):
        keys_at(tmp_path / "none")
