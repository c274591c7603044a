"""Splits an SQL script into statements, and binds values to the names in a statement."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

# A quoted text (with doubled or escaped quotes), a comment, a separator, or any other character. A hint is no comment.
_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.)*" | `[^`]*` | --[^\n]* | /\*(?!\+).*?\*/ | ; | .""",
    re.VERBOSE | re.DOTALL,
)
# Quoted texts are left alone. A colon after a word or another colon is not a parameter: STRUCT<a:INT>,
# x::INT.
_NAMED = re.compile(
    r"""(?P<quoted>'(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.)*" | `[^`]*`)
      | %\((?P<percent>\w+)\)s
      | (?<![\w:]):(?P<colon>[^\d\W]\w*)""",
    re.VERBOSE | re.DOTALL,
)
# Texts are encoded without any character that could end a literal, begin an escape, or be substituted before
# parsing (`${}`). If a session takes escapes literally, a value is misread, but it still ends where it
# should.
_UNSAFE = re.compile(r"""[\x00-\x1f'"\\$`;]""")


class UnknownName(Exception):
    """A statement names a parameter that the step does not have."""


def split(script: str) -> list[str]:
    """Return the statements of a script without comments and separators; quoted texts are left alone."""
    statements = [""]
    for token in _TOKEN.findall(script):
        if token == ";":
            statements.append("")
        elif token.startswith("--") or (token.startswith("/*") and len(token) > 1):
            statements[-1] += " "
        else:
            statements[-1] += token
    return [text for statement in statements if (text := statement.strip())]


def bind(statement: str, parameters: Mapping[str, Any]) -> str:
    """Return the statement with a literal in place of every `%(name)s` and `:name` outside of quotes.

    A value can only be a literal: never a table, a column or a piece of SQL. Percent signs need no doubling.
    A `:name` that is no parameter is left to the server.

    Raises:
        UnknownName: `%(name)s` is no parameter.
    """

    def replaced(match: re.Match[str]) -> str:
        percent, colon = match["percent"], match["colon"]
        if percent is not None:
            if percent not in parameters:
                known = ", ".join(sorted(parameters)) or "none"
                raise UnknownName(
                    f"the query names %({percent})s, but the step has no such input; it has: {known}"
                )
            return literal(parameters[percent])
        if colon is not None and colon in parameters:
            return literal(parameters[colon])
        return match[0]

    return _NAMED.sub(replaced, statement)


def literal(value: Any) -> str:
    """Return a value as an SQL literal.

    Raises:
        TypeError: The value has no literal.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, str):
        return "'" + _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", value) + "'"
    raise TypeError(f"{value!r} has no literal")
