"""What engines and runners compute alike about a step that a runner starts by itself: its inputs, and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from kaon_wire import canonical
from kaon_wire.errors import InvalidValue

# Steps of one chain, including the one that is released.
LONGEST_CHAIN = 16
# Bytes of one input, and of all, of a step that a runner starts by itself; larger ones may have to become artifacts.
INPUT_CHARACTERS = 16_384
INPUTS_CHARACTERS = 65_536
_DIGEST_BYTES = 16


def inputs_digest(inputs: Mapping[str, str]) -> bytes:
    """Return the digest of a step's inputs, canonical JSON by name."""
    parts: list[bytes] = []
    for name in sorted(inputs):
        for text in (name, inputs[name]):
            data = text.encode()
            parts += (len(data).to_bytes(4), data)
    return hashlib.blake2b(b"".join(parts), digest_size=_DIGEST_BYTES).digest()


def element(value_json: str, keys_json: Iterable[str]) -> str:
    """Return the element of a value to which keys and positions lead, as canonical JSON.

    Raises:
        InvalidValue: There is no such element.
    """
    keys = [canonical.loads(key) for key in keys_json]
    if not keys:
        return value_json
    value = canonical.loads(value_json)
    for key in keys:
        fits = isinstance(value, dict) if isinstance(key, str) else isinstance(value, list)
        try:
            if not fits:
                raise KeyError(key)
            value = value[key]
        except (KeyError, IndexError):
            raise InvalidValue(f"there is no element {key!r}") from None
    return canonical.dumps(value)
