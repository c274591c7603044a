"""Records composed of serialized messages: nothing is serialized twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from functools import lru_cache

_LENGTH_DELIMITED = 2


def pack_repeated(field: int, messages: Iterable[bytes]) -> bytes:
    """Serialize a message whose only content is the repeated message field with this number.

    Args:
        field: 1 to 15.
        messages: The serialized elements, in order.
    """
    tag = bytes([field << 3 | _LENGTH_DELIMITED])
    parts: list[bytes] = []
    for message in messages:
        parts += (tag, _varint(len(message)), message)
    return b"".join(parts)


def fill(field: MutableMapping[str, str], values: Mapping[str, str]) -> None:
    """Put values into an empty map field of a message.

    A map that is given to the message's constructor goes through the generic code of the standard library's
    mappings, which costs several times as much.
    """
    for name, value in values.items():
        field[name] = value


# Messages of one kind have few different lengths.
@lru_cache(maxsize=4096)
def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes([number])
    parts = []
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
