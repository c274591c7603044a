"""Canonical JSON, and the digests of values and messages.

Values travel as JSON text and not as `google.protobuf.Value`, which would convert every integer to a double.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from json import encoder
from typing import Any, TypeAlias

from google.protobuf.message import Message

from kaon_wire.errors import InvalidValue

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


_INTEGER = re.compile(r"-?[0-9]+")
# Canonical texts that are recognized at sight: short integers, plain texts, and constants.
_PLAIN = re.compile(r'-?[1-9][0-9]{0,14}|0|"[ !#-\[\]-~]*"|true|false|null')
# Limits of the nesting of lists and objects in API messages.
DEEPEST = 100

# A NUL character and a lone surrogate as JSON escapes, behind an even number of backslashes.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _encoder() -> Callable[[Any], str]:
    """Return the function that writes canonical JSON.

    `json.dumps` makes an encoder for each call, and an encoder makes its part in C for each call, which takes twice as long as
    a small value. The part in C keeps nothing between calls without marks of the containers that it is in, which find circles;
    those end by the depth of the recursion.
    """
    plain = json.JSONEncoder(
        sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    make = getattr(encoder, "c_make_encoder", None)
    if make is None:
        return plain.encode
    marks, indent, sort_keys, skip_keys, allow_nan = None, None, True, False, False
    write = make(
        *(marks, plain.default, encoder.encode_basestring, indent, ":", ","),
        *(sort_keys, skip_keys, allow_nan),
    )
    return lambda value: "".join(write(value, 0))


_encode = _encoder()


def dumps(value: Any) -> str:
    """Return `value` as canonical JSON: keys sorted, no white space, UTF-8 kept, no NaN or infinity.

    Raises:
        InvalidValue: The value is not JSON, or contains unsupported text; the message gives the reason.
    """
    try:
        text = _encode(value)
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"not a JSON value: {error}") from error
    except RecursionError:
        raise InvalidValue("not a JSON value: nested too deeply") from None
    if not text.isascii():
        _check_pairs(text)
    if "\\u0000" in text and _NUL.search(text):
        raise InvalidValue("a text in it has a NUL character, which no text may have")
    return text


def strict(text: str) -> str:
    """Return untrusted JSON text in its canonical form.

    Raises:
        InvalidValue: The text is not JSON, contains NaN, an infinite number, a NUL character or a lone surrogate, or is
            nested too deeply.
    """
    if _PLAIN.fullmatch(text):
        return text
    value = loads(text)
    if text.count("[") + text.count("{") > DEEPEST and _depth(value) > DEEPEST:
        raise InvalidValue(f"nested deeper than {DEEPEST} lists and objects: {text[:80]!r}")
    return dumps(value)


def loads(text: str) -> Any:
    """Return the value of JSON text.

    Raises:
        InvalidValue: The text is not JSON; the message names the position.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidValue(f"not JSON: {error}: {text[:80]!r}") from error
    except RecursionError:
        raise InvalidValue(f"not JSON that can be read: nested too deeply: {text[:80]!r}") from None


def as_float(text: str) -> str:
    """Convert JSON text for a declared float: `1` becomes `1.0`; a number beyond the range of floats is unchanged."""
    if not _INTEGER.fullmatch(text):
        return text
    number = float(text)
    return text if math.isinf(number) else dumps(number)


def digest_bytes(data: bytes) -> str:
    """Return the digest of `data` as "sha256:" and 64 hex digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_message(message: Message) -> str:
    """Return the digest of a message's deterministic serialization (map entries sorted by key)."""
    return digest_bytes(message.SerializeToString(deterministic=True))


def _check_pairs(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(
            f"a text in it has half of a surrogate pair (\\u{ord(text[error.start]):04x}), which is no character"
        ) from None


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        inner = [each for each in level if isinstance(each, list | dict)]
        depth += bool(inner)
        level = [
            part for each in inner for part in (each.values() if isinstance(each, dict) else each)
        ]
    return depth
