"""Commands and the client write "1 run" and "2 runs"."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import kaon

# Nouns that are counted in texts for people.
_NOUNS = (
    "approval|artifact|attempt|block|cell|environment|event|file|line|metric|model|parameter|row|run|runner|schedule|slot|step|"
    "trial|update|version"
)
_PLURAL = re.compile(rf" ([a-z]+ )?({_NOUNS})s\b")
# What is more than one where the text is made.
_SEVERAL = {"pending approvals"}
# Values that are texts.
_TEXTS = {"path", "where"}


def test_a_number_before_a_plural_is_formatted_by_counted() -> None:
    root = Path(kaon.__file__).parent
    files = [*(root / "cli").rglob("*.py"), *(root / "client").rglob("*.py")]
    wrong = [
        f"{file.relative_to(root)}: {text}"
        for file in files
        for text in plurals(file.read_text(encoding="utf-8"))
        if text not in _SEVERAL
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('f"{len(steps)} steps wait"', ["steps"]),
        ('f"it has {total} free slots"', ["free slots"]),
        ("f\"{counted(total, 'slot')} for it\"", []),
        ('f"{workflow} {runs} done"', []),
        ('f"{path} attempts, {pool!r} executes steps"', []),
    ],
)
def test_plurals_after_values_are_found(code: str, found: list[str]) -> None:
    assert plurals(code) == found


def plurals(code: str) -> list[str]:
    """Return the plurals that stand right after a value in the formatted texts of a module, each with the word before it."""
    return [
        match[0].strip()
        for text in ast.walk(ast.parse(code))
        if isinstance(text, ast.JoinedStr)
        for value, after in zip(text.values, text.values[1:], strict=False)
        if isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant)
        if value.conversion == -1 and ast.unparse(value.value) not in _TEXTS
        if (match := _PLURAL.match(str(after.value)))
    ]
