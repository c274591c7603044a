"""Records composed of serialized messages: nothing is serialized twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping

_LENGTH_DELIMITED = 2


def pack_repeated(field: int, messages: Iterable[bytes]) -> bytes:
    """Serialize a message whose only content is the repeated message field with this number.

    Args:
        field: 1 to 15.
        messages: The serialized elements, in order.
    """
    tag = bytes([field << 3 | _LENGTH_DELIMITED])
    return b"".join(part for message in messages for part in (tag, _varint(len(message)), message))


def fill(field: MutableMapping[str, str], values: Mapping[str, str]) -> None:
    """Put values into an empty map field of a message.

    A map that is given to the message's constructor goes through the generic code of the standard library's
    mappings, which costs several times as much.
    """
    for name, value in values.items():
        field[name] = value


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes([number])
    parts = []
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
