"""Splits an expression into tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kaon_wire.cel.errors import CelError
from kaon_wire.cel.values import LEAST, MOST

_TOKEN = re.compile(
    r"""
    (?P<space>(?:\s|//[^\n]*)+)
    |(?P<float>(?:\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?))
    |(?P<int>(?:0x[0-9a-fA-F]+|\d+)[uU]?)
    |(?P<text>(?P<prefix>[rRbB]{0,2})(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<name>[A-Za-z_]\w*)
    |(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_RAW = re.compile(r"""[rRbB]{1,2}(?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\n]*"|'[^'\n]*')""", re.DOTALL)
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL
)
_SIMPLE = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "\\": "\\",
    "?": "?",
    '"': '"',
    "'": "'",
    "`": "`",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A piece of an expression."""

    # "literal", "name", "sign" or "end".
    kind: str
    # A literal's value, a name or a sign.
    value: Any
    # Where it begins, from 0.
    position: int


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of an expression, and one of the kind "end".

    Raises:
        CelError: Something is no token.
    """
    position = 0
    while position < len(text):
        found = _RAW.match(text, position)
        if found is not None and "r" in found[0][:2].lower():
            yield Token(kind="literal", value=_text(found[0], position), position=position)
        else:
            found = _TOKEN.match(text, position)
            if found is None:
                raise CelError(
                    f"at character {position + 1}: {text[position : position + 20]!r} cannot be read"
                )
            if (token := _token(found, position)) is not None:
                yield token
        position = found.end()
    yield Token(kind="end", value="the end", position=len(text))


def _token(found: re.Match[str], position: int) -> Token | None:
    match found.lastgroup:
        case "space":
            return None
        case "float":
            value = float(found[0])
            if value in (float("inf"), float("-inf")):
                raise CelError(f"at character {position + 1}: no double can hold {found[0][:80]}")
            return Token(kind="literal", value=value, position=position)
        case "int":
            return Token(kind="literal", value=_integer(found[0], position), position=position)
        case "name" | "sign":
            return Token(kind=found.lastgroup, value=found[0], position=position)
    return Token(kind="literal", value=_text(found[0], position), position=position)


def _integer(written: str, position: int) -> int:
    digits = written.rstrip("uU")
    value = int(digits, 16) if digits.startswith("0x") else int(digits[:25])
    # The least one is written as the negation of one more than the greatest.
    if len(digits) > 25 or value > -LEAST:
        raise CelError(f"at character {position + 1}: {digits[:80]} is above {MOST}")
    return value


def _text(written: str, position: int) -> str | bytes:
    prefix = written[: min(written.find(quote) for quote in "\"'" if quote in written)].lower()
    quoted = written[len(prefix) :]
    width = 3 if quoted[:3] in ('"""', "'''") else 1
    content = quoted[width:-width]
    if "r" not in prefix:
        content = _ESCAPE.sub(lambda found: _escaped(found, position), content)
    return content.encode() if "b" in prefix else content


def _escaped(found: re.Match[str], position: int) -> str:
    hexadecimal = found[1] or found[2] or found[3]
    if hexadecimal or found[4]:
        code = int(hexadecimal, 16) if hexadecimal else int(found[4], 8)
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise CelError(f"the text at character {position + 1}: {found[0]} is no character")
        return chr(code)
    if found[5] not in _SIMPLE:
        raise CelError(f"the text at character {position + 1}: {found[0]!r} is no escape")
    return _SIMPLE[found[5]]
