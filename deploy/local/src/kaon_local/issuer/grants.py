"""What an issuer has given out and not taken back: codes, logins of devices, and refresh tokens."""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

TOKEN_SECONDS = 600
DEVICE_SECONDS = 600
CODE_SECONDS = 60
_ALGORITHM = "ES256"
# Letters and digits that nobody confuses.
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"


class Refused(Exception):
    """An error of OAuth, such as "invalid_grant"."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody who can log in, with what the issuer says of them."""

    name: str
    claims: Mapping[str, Any]


@dataclass(kw_only=True)
class _Device:
    user_code: str
    expires: float
    # None until somebody has confirmed.
    person: Person | None = None
    refused: bool = False


@dataclass(frozen=True, kw_only=True)
class _Code:
    person: Person
    redirect_uri: str
    challenge: str
    nonce: str
    expires: float


@dataclass(kw_only=True)
class Grants:
    """The issuer's memory; it ends with the process."""

    url: str
    # Of all its tokens.
    audience: str
    clock: Callable[[], float] = time.time
    token_seconds: int = TOKEN_SECONDS
    # How long a device waits between two questions.
    interval: int = 1
    _key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    _key_id: str = field(default_factory=lambda: secrets.token_hex(4))
    _devices: dict[str, _Device] = field(default_factory=dict)
    _codes: dict[str, _Code] = field(default_factory=dict)
    _refreshes: dict[str, Person] = field(default_factory=dict)

    def keys(self) -> dict[str, Any]:
        """Return the public keys as a JWKS."""
        key = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [key | {"kid": self._key_id, "use": "sig", "alg": _ALGORITHM}]}

    def new_device(self) -> tuple[str, str]:
        """Return the code of a device, and the one that its person confirms."""
        code = "".join(secrets.choice(_LETTERS) for _ in range(8))
        user_code = f"{code[:4]}-{code[4:]}"
        device_code = secrets.token_urlsafe(32)
        self._devices[device_code] = _Device(
            user_code=user_code, expires=self.clock() + DEVICE_SECONDS
        )
        return device_code, user_code

    def confirm(self, user_code: str, person: Person | None) -> bool:
        """Log a person in on the device of a code, or refuse it; return whether there is such a device."""
        for device in self._devices.values():
            waits = device.person is None and not device.refused
            if device.user_code == user_code and waits and self.clock() < device.expires:
                device.person, device.refused = person, person is None
                return True
        return False

    def of_device(self, device_code: str) -> dict[str, Any]:
        """Return the tokens of a device whose person has confirmed."""
        device = self._devices.get(device_code)
        if device is None:
            raise Refused("invalid_grant")
        if self.clock() >= device.expires:
            raise Refused("expired_token")
        if device.refused:
            raise Refused("access_denied")
        if device.person is None:
            raise Refused("authorization_pending")
        del self._devices[device_code]
        return self._tokens(device.person)

    def new_code(self, person: Person, *, redirect_uri: str, challenge: str, nonce: str) -> str:
        """Return a code that a client exchanges for tokens."""
        code = secrets.token_urlsafe(32)
        self._codes[code] = _Code(
            person=person,
            redirect_uri=redirect_uri,
            challenge=challenge,
            nonce=nonce,
            expires=self.clock() + CODE_SECONDS,
        )
        return code

    def of_code(self, code: str, redirect_uri: str, verifier: str) -> dict[str, Any]:
        """Return the tokens of a code, once, to whoever began with its challenge."""
        found = self._codes.pop(code, None)
        if found is None or found.expires <= self.clock() or found.redirect_uri != redirect_uri:
            raise Refused("invalid_grant")
        digest = hashlib.sha256(verifier.encode()).digest()
        shown = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not secrets.compare_digest(shown, found.challenge):
            raise Refused("invalid_grant")
        return self._tokens(found.person, found.nonce)

    def refreshed(self, refresh_token: str) -> dict[str, Any]:
        """Return new tokens; a refresh token is good once."""
        person = self._refreshes.pop(refresh_token, None)
        if person is None:
            raise Refused("invalid_grant")
        return self._tokens(person)

    def revoke(self, refresh_token: str) -> None:
        """End a login."""
        self._refreshes.pop(refresh_token, None)

    def token(self, person: Person, **claims: Any) -> str:
        """Return a signed token of a person, with other claims than the usual ones."""
        now = int(self.clock())
        said = {
            "iss": self.url,
            "aud": self.audience,
            "sub": person.name,
            "iat": now,
            "exp": now + self.token_seconds,
        }
        headers = {"kid": self._key_id}
        return jwt.encode(said | dict(person.claims) | claims, self._key, _ALGORITHM, headers)

    def _tokens(self, person: Person, nonce: str = "") -> dict[str, Any]:
        refresh_token = secrets.token_urlsafe(32)
        self._refreshes[refresh_token] = person
        return {
            "token_type": "Bearer",
            "access_token": self.token(person),
            "id_token": self.token(person, **({"nonce": nonce} if nonce else {})),
            "refresh_token": refresh_token,
            "expires_in": self.token_seconds,
        }
