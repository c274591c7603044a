"""Files of secrets. Those of symmetric keys have one key in a line, the newest first, so that keys rotate.

A new key is first appended to the file of every process, which then accept it, and later moved to the first line, so that
they use it. An old key is removed when nothing that it made is valid any more.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

from kaon_wire.errors import InvalidValue

# Fewer bytes of randomness could be guessed.
SHORTEST = 32


def read_keys(path: str, variable: str) -> tuple[bytes, ...]:
    """Read keys from a file of base64 lines; blank lines and those that begin with `#` count for nothing.

    Args:
        path: The file.
        variable: The environment variable that names it, for errors.

    Raises:
        InvalidValue: The file is missing, holds no key, or a line is malformed. The text never shows a key.
    """
    keys = tuple(_key(line, place) for place, line in _lines(path, variable))
    if not keys:
        raise InvalidValue(
            f"{variable}: {path} holds no key: write a line made by `openssl rand -base64 {SHORTEST}`"
        )
    if len(set(keys)) < len(keys):
        raise InvalidValue(f"{variable}: {path} holds the same key twice")
    return keys


def read_named_keys(path: str, variable: str) -> Mapping[str, tuple[bytes, ...]]:
    """Read keys by name from a file of lines `NAME KEY`; a name may stand in several lines, the newest first.

    Args:
        path: The file.
        variable: The environment variable that names it, for errors.

    Raises:
        InvalidValue: The file is missing, holds no key, or a line is malformed. The text never shows a key.
    """
    found: dict[str, tuple[bytes, ...]] = {}
    for place, line in _lines(path, variable):
        words = line.split()
        if len(words) != 2:
            raise InvalidValue(f"{place} is not a name, a space and a key")
        name, key = words
        found[name] = (*found.get(name, ()), _key(key, place))
    if not found:
        raise InvalidValue(f"{variable}: {path} holds no line `NAME KEY`")
    return found


def read_password(path: str, variable: str) -> str:
    """Read the password that a file holds; line ends around it are not part of it.

    Args:
        path: The file.
        variable: The environment variable that names it, for errors.

    Raises:
        InvalidValue: The file is missing or empty.
    """
    try:
        password = Path(path).read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{variable}: {path} cannot be read: {error}") from None
    if not password:
        raise InvalidValue(f"{variable}: {path} is empty")
    return password


def _lines(path: str, variable: str) -> list[tuple[str, str]]:
    """Return the lines that count, each after its place for errors."""
    try:
        text = Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{variable}: {path} cannot be read: {error}") from None
    return [
        (f"{variable}: line {number} of {path}", line)
        for number, line in enumerate(map(str.strip, text.splitlines()), 1)
        if line and not line.startswith("#")
    ]


def _key(line: str, place: str) -> bytes:
    try:
        key = base64.b64decode(line.translate({45: "+", 95: "/"}), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidValue(f"{place} is not base64") from None
    if len(key) < SHORTEST:
        raise InvalidValue(
            f"{place} is a key of {len(key)} bytes; at least {SHORTEST} bytes are needed"
        )
    return key
