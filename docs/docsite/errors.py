"""The reference of errors: exceptions of the SDK with gRPC's codes, and the types with which steps and blocks fail."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import kaon.client.errors as client
from docsite.text import plain, table
from kaon.dsl import WorkflowError

# What is called with the type of an error, and whose fault it is.
_RAISED = {"UserStepError": "user", "PlatformStepError": "platform", "user_error": "user"}
_INTRODUCTION = """# Errors

Errors tell what is wrong, where, and what to do.
The text is for people; programs compare types, gRPC codes and exit codes.

## Exceptions of the SDK

Services choose gRPC codes in one place for each, and the client turns codes into exceptions of `kaon.client`.
All derive from `KaonError`.
"""
_STEPS = """## Types of failed steps and blocks

`StepError.type` is the name of the exception that a step's own code raised, or one of these.
A *user* error is one of the workflow: it uses up an attempt, and `Retry` decides what follows.
A *platform* error uses up none: the step is issued again.
"""
_EXIT_CODES = """## Exit codes of the command line

| Code | Meaning |
| --- | --- |
| 0 | The command did what it was asked; a watched run succeeded. |
| 1 | It failed: standard error says why in one line. A watched run failed. |
| 2 | The command line is wrong; from `kaon run` and `kaon watch`, the run was cancelled. |
| 3 | A command to a run is stored, and its coordinator has not applied it yet. |
| 130 | Interrupted. |
"""


def page(repository: Path) -> str:
    """All errors that users meet."""
    codes: dict[type[Exception], list[str]] = defaultdict(list)
    for code, kind in client._KINDS.items():
        codes[kind].append(f"`{code.name}`")
    kinds: list[type[Exception]] = [
        client.KaonError,
        *dict.fromkeys(client._KINDS.values()),
        client.ServerError,
        WorkflowError,
    ]
    rows = [
        (f"`{kind.__name__}`", ", ".join(codes[kind]), plain((kind.__doc__ or "").split("\n\n")[0]))
        for kind in kinds
    ]
    meanings = explained(repository)
    failures = [
        (f"`{name}`", ", ".join(sorted(whose)), meanings.get(name, ""))
        for name, whose in sorted(types_of_failures(repository).items())
    ]
    return "\n".join(
        [
            _INTRODUCTION,
            table(("Exception", "gRPC codes", "Meaning"), rows),
            _STEPS,
            table(("Type", "Whose fault", "Meaning"), failures),
            _EXIT_CODES,
        ]
    )


def explained(repository: Path) -> dict[str, str]:
    """What the tables of docs/steps.md say about types of failures."""
    text = (
        (repository / "docs" / "steps.md")
        .read_text(encoding="utf-8")
        .partition("## How steps fail")[2]
    )
    rows = re.findall(r"^\| (`[^|]*`) *\| (.*?) *\|$", text, re.MULTILINE)
    return {name: meaning for names, meaning in rows for name in re.findall(r"`(\w+)`", names)}


def types_of_failures(repository: Path) -> dict[str, set[str]]:
    """The types that engine and runner give to failures, each with whose fault it is, as their source says."""
    found: dict[str, set[str]] = defaultdict(set)
    for service in ("coordinator", "step-runner"):
        trees = [
            ast.parse(path.read_text())
            for path in (repository / "services" / service / "src").rglob("*.py")
        ]
        names = {name: text for tree in trees for name, text in _constants(tree)}
        for tree in trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.Call):
                    kind, whose = _failure(node)
                    told = (
                        names.get(kind.id, "")
                        if isinstance(kind, ast.Name)
                        else getattr(kind, "value", "")
                    )
                    if whose and isinstance(told, str) and told.isidentifier():
                        found[told].add(whose)
    return found


def _failure(node: ast.Call) -> tuple[ast.expr | None, str]:
    """The type that a call gives to a failure, and whose fault it is; an empty text when it is no such call."""
    name, words = _last(node.func), {keyword.arg: keyword.value for keyword in node.keywords}
    if name in _RAISED and node.args:
        return node.args[0], _RAISED[name]
    if name == "failed" and len(node.args) > 1:
        return node.args[1], _last(node.args[0]).lower()
    if name == "StepError" and "type" in words and "error_class" in words:
        return words["type"], _last(words["error_class"]).removeprefix("ERROR_CLASS_").lower()
    return None, ""


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield from (
                (target.id, node.value.value)
                for target in node.targets
                if isinstance(target, ast.Name)
            )


def _last(node: ast.expr) -> str:
    """The last word of a dotted name."""
    return ast.unparse(node).rsplit(".", 1)[-1]
