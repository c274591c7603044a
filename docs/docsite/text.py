"""Markdown, as the site's parser (MyST) reads it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

# Sections of docstrings, in Google's style.
_SECTION = re.compile(r"^(Args|Raises|Returns|Yields|Example|Examples):$")
_CODE = re.compile(r"(`+[^`]*`+)")
_SPECIAL = re.compile(r"([<*\[\]])")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; empty when it has no rows."""
    lines = [
        " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows
    ]
    if not lines:
        return ""
    rule = " | ".join("---" for _ in head)
    return "\n".join(f"| {line} |" for line in [" | ".join(head), rule, *lines]) + "\n"


def code(text: str) -> str:
    """Text as it is, in a line; nothing for no text."""
    return f"`{text}`" if text else ""


def block(text: str, language: str = "text") -> str:
    """Text as it is, on lines of its own."""
    return f"```{language}\n{text.strip(chr(10))}\n```\n"


def plain(text: str) -> str:
    """Text in which only what stands in backticks is markup."""
    parts = _CODE.split(text)
    return "".join(
        part if index % 2 else _SPECIAL.sub(r"\\\1", part) for index, part in enumerate(parts)
    )


def prose(docstring: str | None) -> str:
    """A docstring: its sections become lists, and indented lines stay code."""
    lines: list[str] = []
    section = ""
    for line in inspect.cleandoc(docstring or "").splitlines():
        if match := _SECTION.match(line):
            section = match[1]
            lines += ["", f"**{section}**", ""]
        elif section and line.startswith("    "):
            lines.append(_entry(line[4:]))
        else:
            section = "" if line else section
            lines.append(line if line.startswith("    ") else plain(line))
    return "\n".join(lines).strip() + "\n"


def _entry(line: str) -> str:
    """A line of a section: `name: meaning` begins an entry, and a line that is indented more continues it."""
    name, separator, meaning = line.partition(": ")
    if not separator or line.startswith(" ") or " " in name:
        return f"  {plain(line.strip())}"
    return f"- `{name}`: {plain(meaning)}"
