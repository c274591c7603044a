"""Signatures of commands to runners: only coordinators can make them, and each runner can check them.

A coordinator signs a record of `runner-commands` with Ed25519. The signature is the record's last field and covers every byte
before it, so that versions which know further fields do not matter. A record names the runner, or the pool, that it is meant for
and the time when it was made: it counts for no other, and not after the window.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from kaon_service.signed_records import SignatureField, is_signed
from kaon_wire.errors import InvalidValue
from kaonapi.runner.v1 import runner_pb2

PRIVATE_VARIABLE = "KAON_COMMAND_KEY"
PUBLIC_VARIABLE = "KAON_COMMAND_PUBLIC_KEYS"
# The incarnation that addresses every runner of a pool.
EVERYONE = "*"
# Seconds for which a record counts. What is lost because a broker was away for longer is sent again when a lease is renewed.
WINDOW_SECONDS = 300
_FIELD = SignatureField(runner_pb2.RunnerCommands.SIGNATURE_FIELD_NUMBER)
_PUBLIC_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----\s*", re.DOTALL)
_MADE_BY = "openssl genpkey -algorithm ed25519"


def now_us() -> int:
    """Return microseconds since the epoch."""
    return time.time_ns() // 1000


class CommandSigner:
    """Signs the commands of one coordinator.

    Args:
        key: The private key of the deployment's coordinators.
        clock: Returns microseconds since the epoch.
    """

    def __init__(self, key: Ed25519PrivateKey, clock: Callable[[], int] = now_us) -> None:
        self._key = key
        self._clock = clock

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> CommandSigner | None:
        """Read the PEM file that `KAON_COMMAND_KEY` names; return None without the variable.

        Raises:
            InvalidValue: The file is missing, or holds no Ed25519 key without a password.
        """
        path = environment.get(PRIVATE_VARIABLE, "")
        if not path:
            return None
        try:
            key = load_pem_private_key(_content(path, PRIVATE_VARIABLE), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise InvalidValue(
                f"{PRIVATE_VARIABLE}: {path} is no Ed25519 private key in PEM without a password: `{_MADE_BY}` makes one"
            )
        return cls(key)

    def seal(self, record: runner_pb2.RunnerCommands) -> bytes:
        """Return a record with its time and signature, serialized."""
        record.time_us = self._clock()
        return _FIELD.seal(self._key, record.SerializeToString())


class CommandVerifier:
    """Checks the commands that reach the runners of one pool.

    Args:
        keys: The public keys of coordinators, any of which may have signed.
        pool: The pool.
        clock: Returns microseconds since the epoch.
    """

    def __init__(
        self, keys: tuple[Ed25519PublicKey, ...], *, pool: str, clock: Callable[[], int] = now_us
    ) -> None:
        self.pool = pool
        self._keys = keys
        self._clock = clock

    @classmethod
    def read(cls, environment: Mapping[str, str], *, pool: str) -> CommandVerifier | None:
        """Read the PEM file that `KAON_COMMAND_PUBLIC_KEYS` names; return None without the variable.

        Raises:
            InvalidValue: The file is missing, or holds something other than Ed25519 public keys.
        """
        path = environment.get(PUBLIC_VARIABLE, "")
        if not path:
            return None
        try:
            found = [
                load_pem_public_key(text)
                for text in _PUBLIC_KEY.findall(_content(path, PUBLIC_VARIABLE))
            ]
        except (ValueError, UnsupportedAlgorithm):
            found = []
        keys = tuple(key for key in found if isinstance(key, Ed25519PublicKey))
        if not keys or len(keys) < len(found):
            raise InvalidValue(
                f"{PUBLIC_VARIABLE}: {path} holds no Ed25519 public keys in PEM, or others beside them: `openssl pkey -in KEY "
                "-pubout` writes one of a private key"
            )
        return cls(keys, pool=pool)

    def problem(self, value: bytes, record: runner_pb2.RunnerCommands) -> str:
        """Return why a record does not count; empty when it does.

        Args:
            value: The record as it came.
            record: What it says.
        """
        parts = _FIELD.parts(value)
        if parts is None:
            return "it is not signed"
        body, signature = parts
        if not any(is_signed(key, signature, body) for key in self._keys):
            return "no coordinator has signed it"
        if record.pool != self.pool and (record.pool or record.incarnation == EVERYONE):
            return f"it is meant for pool {record.pool!r}"
        age = (self._clock() - record.time_us) / 1e6
        if abs(age) > WINDOW_SECONDS:
            return f"it was made {age:.0f} s ago by this machine's clock; at most {WINDOW_SECONDS} s count"
        return ""


def _content(path: str, variable: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidValue(f"{variable}: {path} cannot be read: {error}") from None
