"""Signs the heads of an audit log with a key that lies in a file, which is read again when it changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kaon_service.access.watched import Watched
from kaon_wire.errors import InvalidValue

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# Signs a statement; returns nothing when there is no key.
Sign: TypeAlias = Callable[[bytes], bytes]


def unsigned(_statement: bytes) -> bytes:
    """Return no signature: the head is kept, and shows nothing to who can change the whole database."""
    return b""


def signer(path: Path) -> Sign:
    """Return what signs with the Ed25519 private key (PEM, without password) in a file, as it is then.

    Raises:
        InvalidValue: The file holds no such key.
    """
    watched = Watched([path], lambda: _key_in(path))
    return lambda text: watched.get().sign(text)


def _key_in(path: Path) -> Ed25519PrivateKey:
    # Takes as long to load as much of the rest, and most services have no such key.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidValue(f"KAON_AUDIT_KEY: {path} holds no private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidValue(f"KAON_AUDIT_KEY: {path} holds a key that is not Ed25519")
    return key
