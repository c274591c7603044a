"""Records whose last field is an Ed25519 signature over every byte before it.

So versions that know further fields do not matter.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_SIGNATURE_BYTES = 64
_LENGTH_DELIMITED = 2
_CONTINUED = 0x80


class SignatureField:
    """The last field of a kind of record.

    Args:
        number: Its number in the message.
    """

    def __init__(self, number: int) -> None:
        self._head = _varint(number << 3 | _LENGTH_DELIMITED) + bytes([_SIGNATURE_BYTES])

    def seal(self, key: Ed25519PrivateKey, body: bytes) -> bytes:
        """Return a serialized record with its signature."""
        return body + self._head + key.sign(body)

    def parts(self, record: bytes) -> tuple[bytes, bytes] | None:
        """Return what is signed of a record, and the signature; None when it ends with none."""
        place = len(record) - _SIGNATURE_BYTES
        body = place - len(self._head)
        if body < 0 or record[body:place] != self._head:
            return None
        return record[:body], record[place:]


def is_signed(key: Ed25519PublicKey, signature: bytes, body: bytes) -> bool:
    """Tell whether a key has signed something."""
    try:
        key.verify(signature, body)
    except InvalidSignature:
        return False
    return True


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >= _CONTINUED:
        found.append(number & 0x7F | _CONTINUED)
        number >>= 7
    return bytes([*found, number])
