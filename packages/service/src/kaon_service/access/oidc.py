"""Callers with a JWT of an OIDC issuer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jwt

from kaon_service.access.credentials import Credentials, Unauthenticated
from kaon_service.access.issuer_keys import IssuerKeys
from kaon_service.access.rules_file import AuthRules, IssuerRules, granted
from kaon_service.principal import Principal, is_name, is_tenant

ALGORITHMS = ("RS256", "ES256", "EdDSA")
# Between the clocks of the issuer and of this machine, in seconds.
LEEWAY = 60
# A longer token does not fit into the metadata of a call.
_LONGEST = 8192
_REQUIRED = ("exp", "iss", "aud", "sub")


class OidcTokens:
    """Knows the holders of tokens of the issuers in the file of rules.

    Args:
        rules: Returns the rules as they are now.
        keys_of: Makes the finder of an issuer's keys.
    """

    def __init__(
        self,
        rules: Callable[[], AuthRules],
        keys_of: Callable[[IssuerRules], IssuerKeys] = lambda rules: IssuerKeys(
            rules.issuer, rules.ca, address=rules.address
        ),
    ) -> None:
        self._rules = rules
        self._keys_of = keys_of
        self._keys: dict[str, IssuerKeys] = {}

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return the caller; None when it shows no JWT.

        Raises:
            Unauthenticated: The token is not valid.
            Unavailable: Its issuer does not answer.
        """
        token = credentials.bearer
        if token.count(".") != 2:
            return None
        if len(token) > _LONGEST:
            raise Unauthenticated(f"JWT: more than {_LONGEST} bytes")
        try:
            rules, claims = await self._claims(token)
        except (jwt.PyJWTError, ValueError) as error:
            # The name of the error tells which check it was, and quotes nothing.
            raise Unauthenticated(f"JWT: {type(error).__name__}") from error
        return _principal(rules, claims)

    async def _claims(self, token: str) -> tuple[IssuerRules, Mapping[str, Any]]:
        """Return the rules of a token's issuer, and its claims, which are verified.

        Raises:
            Unauthenticated: There is no such issuer or key.
            PyJWTError: A check failed.
        """
        header = jwt.get_unverified_header(token)
        shown = jwt.decode(token, options={"verify_signature": False})
        rules = self._rules_for(str(shown.get("iss")))
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS:
            raise Unauthenticated("JWT: an algorithm that does not count")
        key = await self._keys_for(rules).find(str(header.get("kid", "")), algorithm)
        if key is None:
            raise Unauthenticated("JWT: the issuer has no such key")
        claims = jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=rules.audiences,
            issuer=rules.issuer,
            leeway=LEEWAY,
            options={"require": list(_REQUIRED)},
        )
        return rules, claims

    def _rules_for(self, issuer: str) -> IssuerRules:
        """Return the rules of an issuer.

        Raises:
            Unauthenticated: There is no such issuer.
        """
        rules = self._rules().issuers.get(issuer)
        if rules is None:
            raise Unauthenticated("JWT: no such issuer is configured")
        return rules

    def _keys_for(self, rules: IssuerRules) -> IssuerKeys:
        """Return the finder of an issuer's keys; there are no more of them than issuers in the file."""
        if rules.issuer not in self._keys:
            self._keys[rules.issuer] = self._keys_of(rules)
        return self._keys[rules.issuer]


def _principal(rules: IssuerRules, claims: Mapping[str, Any]) -> Principal:
    """Return the principal of verified claims.

    Raises:
        Unauthenticated: They name no tenant, or no name.
    """
    tenant = rules.tenant or _claim(claims, rules.tenant_claim)
    name = _claim(claims, rules.name_claim)
    if not isinstance(tenant, str) or not is_tenant(tenant):
        raise Unauthenticated(f"JWT: the claim {rules.tenant_claim!r} names no tenant")
    if not isinstance(name, str) or not is_name(name):
        raise Unauthenticated(f"JWT: the claim {rules.name_claim!r} is no name of a principal")
    return Principal(
        tenant=tenant,
        name=name,
        roles=granted(rules, _values(_claim(claims, rules.roles_claim))),
        authentication="oidc",
    )


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim; its name may be a path, such as "realm_access.roles"."""
    if name in claims:
        return claims[name]
    first, dot, rest = name.partition(".")
    inner = claims.get(first)
    return _claim(inner, rest) if dot and isinstance(inner, dict) else None


def _values(claim: Any) -> Iterable[str]:
    if isinstance(claim, str):
        return claim.split()
    return [each for each in claim if isinstance(each, str)] if isinstance(claim, list) else []
