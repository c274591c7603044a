"""What the comments above the fields of a dataclass say."""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FieldText:
    """One field of a class, as its source shows it."""

    name: str
    type: str
    # As it is written; empty when there is none.
    default: str
    # The comment above it, on one line.
    comment: str


def fields_of(kind: type) -> list[FieldText]:
    """The annotated fields that a class declares itself, in the order of its source."""
    source = textwrap.dedent(inspect.getsource(kind))
    lines = source.splitlines()
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    found: list[FieldText] = []
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            comment = _above(lines, node.lineno - 1)
            default = "" if node.value is None else ast.unparse(node.value)
            found.append(
                FieldText(
                    name=node.target.id,
                    type=ast.unparse(node.annotation),
                    default=default,
                    comment=comment,
                )
            )
    return found


def _above(lines: list[str], row: int) -> str:
    comment: list[str] = []
    while row and lines[row - 1].strip().startswith("#"):
        row -= 1
        comment.insert(0, lines[row].strip().removeprefix("#").strip())
    return " ".join(comment)
