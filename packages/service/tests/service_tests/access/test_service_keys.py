"""Tokens between services: only who holds a key makes one, for a minute, and in one deployment."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from oidc_issuer import unsigned

from kaon_service.access.calling import Calling
from kaon_service.access.credentials import Credentials, Unauthenticated
from kaon_service.access.service_keys import ServiceAuthenticator, ServiceKeys, _key_id
from kaon_service.principal import Principal
from kaon_service.roles import Kind, Role, included
from kaon_wire.errors import InvalidValue

OLD, NEW, NEWEST = (base64.b64encode(each * 32).decode() for each in (b"o", b"n", b"x"))
ANN = Principal(tenant="shop", name="ann", roles=included([Role.AUTHOR]), authentication="token")


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"# newest first\n{NEW}\n{OLD}\n")
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
    path.write_text(f"{NEWEST}\n{NEW}\n")
    after = keys.sign("console", ANN)
    assert jwt.get_unverified_header(after)["kid"] == _key_id(b"x" * 32)
    assert keys.verify(before) == keys.verify(after)
    path.write_text(f"{NEWEST}\n")
    with pytest.raises(Unauthenticated):
        keys.verify(before)


def test_a_file_that_becomes_unreadable_changes_nothing(path: Path) -> None:
    keys = keys_at(path)
    path.write_text("short\n")
    assert keys.verify(keys.sign("console", ANN)).name == "ann"


def _claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {"iss": "kaon", "aud": "kaon", "sub": "console", "iat": now, "exp": now + 60}
    return {name: value for name, value in {**claims, **changed}.items() if value is not None}


def _encoded(key: bytes = b"n" * 32, typ: str = "kaon-service+jwt", **changed: Any) -> str:
    headers = {"kid": changed.pop("kid", _key_id(b"n" * 32)), "typ": typ}
    return jwt.encode(_claims(**changed), key, "HS256", headers=headers)


def _unsigned() -> str:
    header = {"alg": "none", "kid": _key_id(b"n" * 32), "typ": "kaon-service+jwt"}
    return unsigned(_claims(**{"for": CALLER}), header)


def _for(**changed: Any) -> str:
    return _encoded(**{"for": CALLER | changed})


CALLER = {"tenant": "shop", "name": "ann", "roles": [], "kind": "person", "pool": ""}
WRONG: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "garbage": lambda: "a.b.c",
    "another key": lambda: _encoded(key=b"z" * 32),
    "the name of another key": lambda: _encoded(kid=_key_id(b"o" * 32)),
    "an unknown key": lambda: _encoded(kid="none"),
    "another type": lambda: _encoded(typ="JWT"),
    "another deployment": lambda: _encoded(aud="other"),
    "no deployment": lambda: _encoded(aud=None),
    "another issuer": lambda: _encoded(iss="https://id.example.org"),
    "no end": lambda: _encoded(exp=None),
    "expired": lambda: _encoded(exp=int(time.time()) - 40),
    "not signed": _unsigned,
    "no principal": lambda: _encoded(**{"for": {}}),
    "a tenant that cannot be": lambda: _for(tenant="../x"),
    "a name that cannot be": lambda: _for(name="a\nb"),
    "a role that cannot be": lambda: _for(roles=["a,b"]),
    "a kind that cannot be": lambda: _for(kind="king"),
    "no list of roles": lambda: _for(roles=None),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_no_service_has_signed_just_now_is_refused(path: Path, what: str) -> None:
    assert keys_at(path).verify(_for()).name == "ann"
    with pytest.raises(Unauthenticated):
        keys_at(path).verify(WRONG[what]())


def test_a_token_does_not_last(path: Path) -> None:
    with pytest.raises(Unauthenticated):
        keys_at(path).verify(keys_at(path, now=-100).sign("console", ANN))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"KAON_SERVICE_KEYS: .*none cannot be read"):
        keys_at(tmp_path / "none")
