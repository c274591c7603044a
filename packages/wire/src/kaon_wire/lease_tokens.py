"""Lease tokens: what makes a runner's word about a lease count.

A coordinator puts a token into each release; the runner shows it with every event and renewal of this lease, and to the
publisher. A token is an HMAC-SHA256 over the lease and its runner's incarnation, so it says nothing of any other lease, and
nobody else can use it in the name of another runner. What it does not do is end: a lease that is over is refused by its
generation.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from typing import NamedTuple

from kaon_wire.errors import InvalidValue

# Metadata of a call that is made under a lease, such as that of a publish step.
LEASE_KEY = "kaon-lease"
# One byte that names the key, and 15 of the HMAC: 2^120 guesses.
TOKEN_BYTES = 16
_MAC_BYTES = TOKEN_BYTES - 1
# Leases whose tokens are remembered: the first report of a lease, its renewals and its result show what was made for it.
_REMEMBERED = 50_000
# Of the metadata: far more than any path of a step needs.
_SHOWN_CHARACTERS = 8_192
_PARTS = [str, str, str, int, int, str, str]


class LeaseClaim(NamedTuple):
    """A lease of a step, and who holds it. A tuple: three are made for each step."""

    tenant: str
    run_id: str
    path: str
    attempt: int
    generation: int
    # Of the runner.
    incarnation: str

    def encoded(self) -> bytes:
        """Return the bytes that are signed; different claims have different ones, whatever their texts contain."""
        tenant, run_id, path = self.tenant, self.run_id, self.path
        return (
            f"{len(tenant)},{len(run_id)},{len(path)},{self.attempt},{self.generation},"
            f"{tenant}{run_id}{path}{self.incarnation}"
        ).encode(errors="surrogatepass")


class LeaseKeys:
    """Signs leases with the newest of several keys, and checks tokens of any of them.

    Args:
        keys: The keys, the newest first.
    """

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        self._macs = {_key_id(key): hmac.new(key, digestmod=hashlib.sha256) for key in keys}
        if len(self._macs) < len(keys):
            raise InvalidValue(
                "two of the lease keys have the same first byte of their digest: make another key"
            )
        self._newest = _key_id(keys[0])
        # The token of each lease that was made or found valid last: to compare with it costs a tenth of an HMAC.
        self._known: dict[LeaseClaim, bytes] = {}

    def sign(self, claim: LeaseClaim) -> bytes:
        """Return the token of a lease."""
        return self._remembered(claim, self._token(self._newest, claim.encoded()))

    def verify(self, claim: LeaseClaim, token: bytes) -> bool:
        """Tell whether a token was made for exactly this lease, with one of the keys."""
        known = self._known.get(claim)
        if known is not None and hmac.compare_digest(token, known):
            return True
        # The lease may have a token of each key.
        if len(token) != TOKEN_BYTES or token[:1] not in self._macs:
            return False
        if not hmac.compare_digest(token, self._token(token[:1], claim.encoded())):
            return False
        self._remembered(claim, token)
        return True

    def shown(self, text: str) -> LeaseClaim | None:
        """Return the lease that the metadata `kaon-lease` of a call proves; None when it proves none."""
        if len(text) > _SHOWN_CHARACTERS:
            return None
        try:
            parts = json.loads(base64.urlsafe_b64decode(text))
            if [type(part) for part in parts] != _PARTS:
                return None
            tenant, run_id, path, attempt, generation, incarnation, token = parts
            claim = LeaseClaim(
                tenant=tenant,
                run_id=run_id,
                path=path,
                attempt=attempt,
                generation=generation,
                incarnation=incarnation,
            )
            valid = self.verify(claim, base64.urlsafe_b64decode(token))
        except (binascii.Error, ValueError, TypeError, RecursionError):
            return None
        return claim if valid else None

    def _remembered(self, claim: LeaseClaim, token: bytes) -> bytes:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[claim] = token
        return token

    def _token(self, key_id: bytes, message: bytes) -> bytes:
        mac = self._macs[key_id].copy()
        mac.update(message)
        return key_id + mac.digest()[:_MAC_BYTES]


def show(claim: LeaseClaim, token: bytes) -> str:
    """Return the metadata `kaon-lease` by which the holder of a lease shows it."""
    parts = [
        claim.tenant,
        claim.run_id,
        claim.path,
        claim.attempt,
        claim.generation,
        claim.incarnation,
        base64.urlsafe_b64encode(token).decode(),
    ]
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"kaon lease key\0" + key).digest()[:1]
