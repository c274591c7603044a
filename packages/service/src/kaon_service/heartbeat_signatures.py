"""Signatures of heartbeats: nobody speaks for another runner, and nobody for a pool whose key he does not have.

A runner makes a pair of keys for each life of its process. Its incarnation is named after the public one, and it signs every
heartbeat with the private one, which never leaves the process: so no other runner, of its own pool neither, can speak for it. That
the public key belongs to a runner of the pool is proven by an HMAC with the pool's key, which an administrator gives to the pool's
runners and to coordinators. A heartbeat counts for some minutes alone, so that one which is sent again later says nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kaon_service.access.watched import OFTEN_SECONDS, Watched
from kaon_service.command_signatures import WINDOW_SECONDS, now_us
from kaon_service.signed_records import SignatureField, is_signed
from kaon_wire.key_files import read_keys, read_named_keys
from kaonapi.runner.v1 import runner_pb2

# Of a runner, and of coordinators.
KEY_VARIABLE = "KAON_POOL_KEY"
KEYS_VARIABLE = "KAON_POOL_KEYS"
_PUBLIC_KEY_BYTES = 32
_NAME_DIGITS = 32
_FIELD = SignatureField(runner_pb2.RunnerHeartbeat.SIGNATURE_FIELD_NUMBER)


class HeartbeatSigner:
    """Signs the heartbeats of one incarnation.

    Args:
        pool_key: The key of the pool.
        pool: The pool.
    """

    def __init__(self, pool_key: bytes, *, pool: str) -> None:
        self._key = Ed25519PrivateKey.generate()
        self._public = self._key.public_key().public_bytes_raw()
        self._proof = _pool_proof(pool_key, pool, self._public)
        # What the incarnation's name must end with.
        self.name = _name_of(self._public)

    @classmethod
    def read(cls, environment: Mapping[str, str], *, pool: str) -> HeartbeatSigner | None:
        """Read the file that `KAON_POOL_KEY` names; return None without the variable.

        Raises:
            InvalidValue: The file is missing or malformed.
        """
        path = environment.get(KEY_VARIABLE, "")
        return cls(read_keys(path, KEY_VARIABLE)[0], pool=pool) if path else None

    def seal(self, heartbeat: runner_pb2.RunnerHeartbeat) -> bytes:
        """Return a heartbeat with its signature, serialized."""
        heartbeat.public_key, heartbeat.pool_proof = self._public, self._proof
        return _FIELD.seal(self._key, heartbeat.SerializeToString())


class HeartbeatVerifier:
    """Checks heartbeats.

    Args:
        keys: Returns the keys of each pool as they are now, any of which may have been used.
        clock: Returns microseconds since the epoch.
    """

    def __init__(
        self, keys: Callable[[], Mapping[str, tuple[bytes, ...]]], clock: Callable[[], int] = now_us
    ) -> None:
        self._keys = keys
        self._clock = clock

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> HeartbeatVerifier | None:
        """Read the file that `KAON_POOL_KEYS` names, again whenever it changes; return None without the variable.

        Raises:
            InvalidValue: The file is missing or malformed.
        """
        path = environment.get(KEYS_VARIABLE, "")
        if not path:
            return None
        keys = Watched(
            [Path(path)], lambda: read_named_keys(path, KEYS_VARIABLE), seconds=OFTEN_SECONDS
        )
        return cls(keys.get)

    def problem(self, value: bytes, heartbeat: runner_pb2.RunnerHeartbeat) -> str:
        """Return why a heartbeat does not count; empty when it does.

        Args:
            value: The record as it came.
            heartbeat: What it says.
        """
        parts, public = _FIELD.parts(value), heartbeat.public_key
        if parts is None or len(public) != _PUBLIC_KEY_BYTES:
            return "it is not signed"
        if not _is_named_after(heartbeat.incarnation, public):
            return "its key is another incarnation's"
        if not self._of_pool(heartbeat):
            return f"its key is none of pool {heartbeat.pool[:80]!r}"
        body, signature = parts
        if not is_signed(Ed25519PublicKey.from_public_bytes(public), signature, body):
            return "its signature is wrong"
        age = (self._clock() - heartbeat.time_us) / 1e6
        if abs(age) > WINDOW_SECONDS:
            return f"it was sent {age:.0f} s ago by this machine's clock; at most {WINDOW_SECONDS} s count"
        return ""

    def _of_pool(self, heartbeat: runner_pb2.RunnerHeartbeat) -> bool:
        return any(
            hmac.compare_digest(
                heartbeat.pool_proof, _pool_proof(key, heartbeat.pool, heartbeat.public_key)
            )
            for key in self._keys().get(heartbeat.pool, ())
        )


def _pool_proof(pool_key: bytes, pool: str, public: bytes) -> bytes:
    return hmac.digest(pool_key, b"kaon runner\0" + public + pool.encode(), hashlib.sha256)


def _is_named_after(incarnation: str, public: bytes) -> bool:
    return incarnation.endswith(f"-{_name_of(public)}")


def _name_of(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest()[:_NAME_DIGITS]
