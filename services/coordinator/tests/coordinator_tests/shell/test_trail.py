"""The trail through the code in docs/architecture.md is true: every file and function that it names exists, and it stays short."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[5]
FILES, RETURNS = 30, 8


def _rows() -> list[tuple[bool, str, list[str]]]:
    """Whether the file was read before, the file, and the functions."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    found = re.search(r"<!-- begin trail -->\n(.*?)<!-- end trail -->", text, re.DOTALL)
    assert found is not None
    # What follows a station on lines of its own belongs to it.
    stations = re.sub(r"\n +", " ", found[1].strip())
    rows = re.findall(r"^\d+\. (↩ )?`([^`]+)`: (.*)$", stations, re.MULTILINE)
    assert len(rows) == len(stations.splitlines())
    # What is not in code's letters but like a topic (`step-ready`) is no function.
    return [(bool(again), path, re.findall(r"`([\w.]+)`", says)) for again, path, says in rows]


def _functions(tree: ast.Module) -> set[str]:
    functions = set[str]()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.add(node.name)
        elif isinstance(node, ast.ClassDef):
            functions |= {
                f"{node.name}.{each.name}"
                for each in node.body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return functions


def test_every_file_and_function_of_the_trail_exists() -> None:
    missing = []
    for _, path, names in _rows():
        assert names, f"{path}: no function is named"
        if not (ROOT / path).is_file():
            missing.append(path)
            continue
        there = _functions(ast.parse((ROOT / path).read_text()))
        missing += [f"{path}: {name}" for name in names if name not in there]
    assert missing == []


def test_the_trail_is_short_and_marks_every_return() -> None:
    read = set[str]()
    for again, path, _ in _rows():
        assert again == (path in read), (
            f"{path}: the arrow stands before files that were read before, and only there"
        )
        read.add(path)
    assert len(read) <= FILES
    assert sum(again for again, _, _ in _rows()) <= RETURNS
