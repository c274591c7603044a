"""Bounds of error texts in gRPC statuses.

Statuses travel in headers, of which clients accept 8 KiB by default: a longer one reaches them as
RESOURCE_EXHAUSTED without its text. In a header everything but printable ASCII takes three times its bytes.
"""

from __future__ import annotations

# Of a message, in a header.
MESSAGE_BYTES = 2_000
_CUT = " ..."


def fitting(text: str, most: int = MESSAGE_BYTES) -> str:
    """Return the beginning of a text that fits into `most` bytes of a header, with lone surrogates replaced."""
    plain = text.encode("utf-8", "replace").decode()
    size = 0
    for place, character in enumerate(plain):
        size += 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())
        if size > most:
            return plain[:place] + _CUT
    return plain
