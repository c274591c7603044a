"""Which files of a workflow's directory stay out of its code bundle: a .kaonignore file, written like a .gitignore."""

from __future__ import annotations

import re
from collections import deque
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
    # As it is written, and the number of its line.
    text: str
    line: int


def parse(lines: Iterable[str]) -> list[Rule]:
    """Parse the lines of an ignore file; empty lines and those that begin with # are comments."""
    texts = ((text.rstrip(), number) for number, text in enumerate(lines, 1))
    return [_rule(text, number) for text, number in texts if text and not text.startswith("#")]


def ignored(rules: Iterable[Rule], path: str, *, directory: bool) -> bool:
    """Whether the last rule that matches leaves `path` (relative, with "/") out."""
    rule = deciding(rules, path, directory=directory)
    return rule is not None and not rule.keeps


def deciding(rules: Iterable[Rule], path: str, *, directory: bool) -> Rule | None:
    """Return the last rule that matches `path`."""
    matching = (
        rule
        for rule in rules
        if (directory or not rule.directories_only) and rule.pattern.fullmatch(path)
    )
    return next(iter(deque(matching, maxlen=1)), None)


def _rule(line: str, number: int) -> Rule:
    keeps = line.startswith("!")
    text = line.removeprefix("!")
    directories_only = text.endswith("/")
    text = text.rstrip("/")
    anchored = "/" in text
    prefix = "" if anchored else "(?:.*/)?"
    return Rule(
        pattern=re.compile(prefix + _regex(text.lstrip("/")), re.DOTALL),
        directories_only=directories_only,
        keeps=keeps,
        text=line,
        line=number,
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
