"""How much of an error's text goes into a gRPC status.

Statuses travel in headers, of which clients take 8 KiB by default: what is longer reaches them as RESOURCE_EXHAUSTED, without a
word of what is wrong. In a header everything but printable ASCII takes three times its bytes.
"""

from __future__ import annotations

# Of a message, in a header.
MESSAGE_BYTES = 2_000
_CUT = " ..."


def fitting(text: str, most: int = MESSAGE_BYTES) -> str:
    """A text as far as it takes `most` bytes in a header; half of a surrogate pair, which no message can hold, is replaced."""
    plain = text.encode("utf-8", "replace").decode()
    size = 0
    for place, character in enumerate(plain):
        size += 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())
        if size > most:
            return plain[:place] + _CUT
    return plain
