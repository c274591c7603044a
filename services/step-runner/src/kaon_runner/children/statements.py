"""Splits a SQL script into statements."""

from __future__ import annotations

import re

# A quoted text (with doubled or escaped quotes), a comment, a separator, or any other character.
_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.)*" | `[^`]*` | --[^\n]* | /\*.*?\*/ | ; | .""",
    re.VERBOSE | re.DOTALL,
)


def split(script: str) -> list[str]:
    """The statements of a script without comments and separators; what stands in quotes is left alone."""
    statements = [""]
    for token in _TOKEN.findall(script):
        if token == ";":
            statements.append("")
        elif token.startswith(("--", "/*")):
            statements[-1] += " "
        else:
            statements[-1] += token
    return [text for statement in statements if (text := statement.strip())]
