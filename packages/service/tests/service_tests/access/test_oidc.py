"""JWTs of an issuer: what is right passes, and each thing that is wrong is refused, without a word about which."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from oidc_issuer import AUDIENCE, LONG, Issuer, private_key, public_jwk, unsigned

from kaon_service.access.credentials import Credentials, Unauthenticated
from kaon_service.access.oidc import OidcTokens
from kaon_service.access.rules_file import AuthRules, IssuerRules
from kaon_service.principal import Principal
from kaon_service.roles import Role, included


def rules_of(issuer: Issuer, **changed: Any) -> AuthRules:
    """The rules of a system that knows this issuer."""
    told: dict[str, Any] = {"audiences": (AUDIENCE,), "tenant_claim": "tenant"} | changed
    return AuthRules(issuers={issuer.url: IssuerRules(issuer=issuer.url, **told)})


async def caller(issuer: Issuer, token: str, **rules: Any) -> Principal | None:
    """Who shows a token."""
    shown = Credentials(metadata={"authorization": f"Bearer {token}"})
    return await OidcTokens(lambda: rules_of(issuer, **rules)).authenticate(shown)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_valid_token_makes_a_principal(issuer: Issuer, algorithm: str) -> None:
    assert await caller(issuer, issuer.token(algorithm)) == Principal(
        tenant="shop", name="ann", roles=included([Role.OPERATOR]), authentication="oidc"
    )


async def test_a_token_without_the_name_of_its_key_is_checked_with_the_only_one(
    issuer: Issuer,
) -> None:
    assert await caller(issuer, issuer.token(kid=None)) is not None
    issuer.keys.append(public_jwk(private_key("RS256", 1), "RS256", "other"))
    with pytest.raises(Unauthenticated):
        await caller(issuer, issuer.token(kid=None))


def _public_pem() -> bytes:
    key: Any = private_key("RS256")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    return pem


def _signed_with_the_public_key(issuer: Issuer) -> str:
    """HS256 with the public key, which everybody knows, as its secret."""
    from jwt.algorithms import HMACAlgorithm

    head = unsigned(issuer.claims(), {"alg": "HS256", "typ": "JWT", "kid": "rs256"}).rstrip(".")
    signature = HMACAlgorithm(HMACAlgorithm.SHA256).sign(head.encode(), _public_pem())
    return f"{head}.{jwt.utils.base64url_encode(signature).decode()}"


def _now(seconds: int) -> int:
    return int(time.time()) + seconds


WRONG: dict[str, Callable[[Issuer], str]] = {
    "garbage": lambda issuer: "a.b.c",
    "algorithm none": lambda issuer: unsigned(issuer.claims(), {"alg": "none"}),
    "algorithm none with a key": lambda issuer: unsigned(
        issuer.claims(), {"alg": "none", "kid": "rs256"}
    ),
    "the public key as a secret": _signed_with_the_public_key,
    "another algorithm of the key": lambda issuer: issuer.token(
        "RS512", private_key("RS256"), kid="rs256"
    ),
    "another key": lambda issuer: issuer.token(key=private_key("RS256", 1)),
    "an unknown key": lambda issuer: issuer.token(kid="none"),
    "a changed signature": lambda issuer: issuer.token()[:-20] + "A" * 20,
    "another issuer": lambda issuer: issuer.token(iss="https://elsewhere.example"),
    "no issuer": lambda issuer: issuer.token(iss=None),
    "another audience": lambda issuer: issuer.token(aud="elsewhere"),
    "no audience": lambda issuer: issuer.token(aud=None),
    "expired": lambda issuer: issuer.token(exp=_now(-61)),
    "no end": lambda issuer: issuer.token(exp=None),
    "not yet valid": lambda issuer: issuer.token(nbf=_now(LONG)),
    "issued in the future": lambda issuer: issuer.token(iat=_now(LONG)),
    "no subject": lambda issuer: issuer.token(sub=None),
    "no tenant": lambda issuer: issuer.token(tenant=None),
    "a tenant that cannot be": lambda issuer: issuer.token(tenant="../bank"),
    "several tenants": lambda issuer: issuer.token(tenant=["shop", "bank"]),
    "a name that cannot be": lambda issuer: issuer.token(sub="a\nb"),
    "too long": lambda issuer: issuer.token(more="x" * 9000),
    "an extension that must be understood": lambda issuer: jwt.encode(
        issuer.claims(),
        private_key("RS256"),  # type: ignore[arg-type]
        "RS256",
        headers={"kid": "rs256", "crit": ["b64"], "b64": True},
    ),
}


@pytest.mark.parametrize("what", WRONG)
async def test_what_is_wrong_is_refused_in_the_same_words(issuer: Issuer, what: str) -> None:
    with pytest.raises(Unauthenticated) as told:
        await caller(issuer, WRONG[what](issuer))
    assert str(told.value) == str(Unauthenticated("another reason"))
    assert told.value.reason


async def test_clocks_may_differ_by_a_minute(issuer: Issuer) -> None:
    assert await caller(issuer, issuer.token(exp=_now(-50)))
    assert await caller(issuer, issuer.token(nbf=_now(50), iat=_now(50)))


async def test_what_is_no_jwt_is_left_to_others(issuer: Issuer) -> None:
    assert await caller(issuer, "kaon_id_secret") is None
    assert await OidcTokens(lambda: rules_of(issuer)).authenticate(Credentials(metadata={})) is None


async def test_claims_are_read_as_the_rules_say(issuer: Issuer) -> None:
    token = issuer.token(
        tenant=None, email="ann@shop.example", realm={"groups": ["staff", "risk-board"]}
    )
    found = await caller(
        issuer,
        token,
        tenant_claim="",
        tenant="bank",
        name_claim="email",
        roles_claim="realm.groups",
        roles={"staff": ("author", "publisher")},
    )
    assert found is not None
    assert (found.tenant, found.name) == ("bank", "ann@shop.example")
    assert found.roles == included(["author", "publisher", "risk-board"])


async def test_nobody_administers_the_platform_by_the_name_of_a_group(issuer: Issuer) -> None:
    token = issuer.token(roles="viewer platform-admin")
    plain = await caller(issuer, token)
    mapped = await caller(issuer, token, roles={"platform-admin": ("platform-admin",)})
    assert plain is not None
    assert plain.roles == {"viewer"}
    assert mapped is not None
    assert mapped.holds(Role.PLATFORM_ADMIN)
