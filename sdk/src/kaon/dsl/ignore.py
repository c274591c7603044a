"""Which files of a workflow's directory stay out of its code bundle: a .kaonignore file, written like a .gitignore."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

IGNORE_FILE = ".kaonignore"
# What no step loads. A .kaonignore can take names back in with "!".
DEFAULTS = (
    ".*",
    "__pycache__/",
    "*.pyc",
    "*.egg-info/",
    "tests/",
    "test_*.py",
    "*_test.py",
    "conftest.py",
    "venv/",
    "node_modules/",
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of an ignore file."""

    pattern: re.Pattern[str]
    directories_only: bool
    # The line began with "!": what it matches is taken in again.
    keeps: bool


def parse(lines: Iterable[str]) -> list[Rule]:
    """The rules of an ignore file's lines; empty lines and those that begin with # say nothing."""
    texts = (line.rstrip() for line in lines)
    return [_rule(text) for text in texts if text and not text.startswith("#")]


def ignored(rules: Iterable[Rule], path: str, *, directory: bool) -> bool:
    """Whether the last rule that matches leaves `path` (relative, with "/") out."""
    verdict = False
    for rule in rules:
        if (directory or not rule.directories_only) and rule.pattern.fullmatch(path):
            verdict = not rule.keeps
    return verdict


def _rule(text: str) -> Rule:
    keeps = text.startswith("!")
    text = text.removeprefix("!")
    directories_only = text.endswith("/")
    text = text.rstrip("/")
    anchored = "/" in text
    prefix = "" if anchored else "(?:.*/)?"
    return Rule(
        pattern=re.compile(prefix + _regex(text.lstrip("/")), re.DOTALL),
        directories_only=directories_only,
        keeps=keeps,
    )


_TOKENS = re.compile(r"\*\*/|/\*\*|\*\*|\*|\?|\[[^\]]+\]|[^*?\[/]+|.", re.DOTALL)
_MEANINGS = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def _regex(glob: str) -> str:
    return "".join(_MEANINGS.get(token) or _literal(token) for token in _TOKENS.findall(glob))


def _literal(token: str) -> str:
    if len(token) > 2 and token[0] == "[":
        inside = "^" + token[2:-1] if token[1] == "!" else token[1:-1]
        return "[" + inside.replace("\\", "\\\\") + "]"
    return re.escape(token)
