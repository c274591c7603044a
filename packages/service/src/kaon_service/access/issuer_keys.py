"""The public keys of one issuer, kept and fetched again as they rotate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from kaon_service.access.fetching import fetch_json
from kaon_wire.errors import Unavailable

log = structlog.get_logger(__name__)

# Seconds. Keys are fetched again after some, do not count after many, and are never fetched more often than that.
FRESH = 300.0
LONGEST = 3600.0
LEAST = 10.0
_MOST_KEYS = 100
_RSA_BITS = 2048
_DISCOVERY = "/.well-known/openid-configuration"
# By type and curve. Keys of other kinds verify nothing: so nobody takes a public key for the secret of a symmetric one.
_ALGORITHMS: Mapping[tuple[str, str], str] = {
    ("RSA", ""): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}

Fetch: TypeAlias = Callable[[str, Path | None], dict[str, Any]]


class IssuerKeys:
    """Finds the keys of one issuer. Whoever shows tokens of unknown keys makes nobody ask the issuer more often.

    Args:
        issuer: Its URL; the discovery document there tells where its keys are.
        ca: File with the authorities that its server is checked with; None: the system's.
        fetch: Fetches a document, in a thread.
        clock: Returns seconds that only grow.
        address: Where its documents are read, if not at its URL; empty: there.
    """

    def __init__(
        self,
        issuer: str,
        ca: Path | None = None,
        fetch: Fetch = fetch_json,
        clock: Callable[[], float] = time.monotonic,
        address: str = "",
    ) -> None:
        self._issuer = issuer
        self._address = (address or issuer).rstrip("/")
        self._ca = ca
        self._fetch = fetch
        self._clock = clock
        self._keys: Mapping[tuple[str, str], jwt.PyJWK] = {}
        self._fetched_at = self._asked_at = -LONGEST
        self._asking: asyncio.Task[None] | None = None

    async def find(self, key_id: str, algorithm: str) -> jwt.PyJWK | None:
        """Return a key for an algorithm; None when the issuer has none of this id.

        Raises:
            Unavailable: The issuer does not answer, and no keys are known that still count.
        """
        age = self._clock() - self._fetched_at
        if age >= LONGEST:
            await self._ask()
        elif age >= FRESH and self._may_ask():
            # Nobody waits: the keys still count.
            self._begin()
        key = self._find(key_id, algorithm)
        if key is None and self._may_ask():
            await self._ask()
            key = self._find(key_id, algorithm)
        return key

    def _find(self, key_id: str, algorithm: str) -> jwt.PyJWK | None:
        if key_id:
            return self._keys.get((key_id, algorithm))
        fitting = [key for (_, each), key in self._keys.items() if each == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _may_ask(self) -> bool:
        return self._clock() - self._asked_at >= LEAST

    async def _ask(self) -> None:
        """Fetch the keys, or wait for them when they are being fetched.

        Raises:
            Unavailable: The issuer does not answer, or was asked just now.
        """
        if self._asking is None and not self._may_ask():
            raise Unavailable("the issuer of the token does not answer")
        # A caller may go away while others wait for the same answer.
        await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Task[None]:
        if self._asking is None:
            self._asked_at = self._clock()
            self._asking = asyncio.create_task(self._refresh(), name="issuer keys")
            self._asking.add_done_callback(self._asked)
        return self._asking

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("keys cannot be fetched", issuer=self._issuer, reason=str(error))

    async def _refresh(self) -> None:
        found = await asyncio.to_thread(self._load)
        self._keys, self._fetched_at = found, self._clock()

    def _load(self) -> Mapping[tuple[str, str], jwt.PyJWK]:
        """Fetch the keys.

        Raises:
            Unavailable: They cannot be fetched. The text is for callers, too, and names no address.
        """
        try:
            discovered = self._fetch(self._address + _DISCOVERY, self._ca)
            if discovered.get("issuer") != self._issuer:
                raise Unavailable(f"{self._issuer} says that it is {discovered.get('issuer')!r}")
            keys = self._fetch(self._reached(str(discovered.get("jwks_uri"))), self._ca).get("keys")
        except Unavailable as error:
            log.warning("issuer does not answer", issuer=self._issuer, reason=str(error))
            raise Unavailable("the issuer of the token does not answer") from error
        return _usable(keys if isinstance(keys, list) else [])

    def _reached(self, url: str) -> str:
        """Return where a document of the issuer is read: what lies below its URL, below the address."""
        base = self._issuer.rstrip("/") + "/"
        return f"{self._address}/{url.removeprefix(base)}" if url.startswith(base) else url


def _usable(documents: Iterable[Any]) -> Mapping[tuple[str, str], jwt.PyJWK]:
    """Return the keys that verify signatures, by id and algorithm."""
    found: dict[tuple[str, str], jwt.PyJWK] = {}
    for document in documents:
        algorithm = _algorithm(document)
        if not algorithm or len(found) >= _MOST_KEYS:
            continue
        try:
            key = jwt.PyJWK(document, algorithm)
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            log.warning("a key of an issuer cannot be read", reason=type(error).__name__)
            continue
        if isinstance(key.key, RSAPublicKey) and key.key.key_size < _RSA_BITS:
            log.warning("a key of an issuer is too short", bits=key.key.key_size)
            continue
        found[str(document.get("kid", "")), algorithm] = key
    return found


def _algorithm(document: Any) -> str:
    """Return the algorithm for which a key may be used; empty for none."""
    if not isinstance(document, dict) or document.get("use", "sig") != "sig":
        return ""
    algorithm = _ALGORITHMS.get((str(document.get("kty")), str(document.get("crv", ""))), "")
    return algorithm if document.get("alg", algorithm) == algorithm else ""
