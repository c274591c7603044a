"""The reference of the command line, from its own help."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from docsite.text import block, code, plain, table
from kaon.cli.main import app

# Of paragraphs whose lines stay as they are.
_AS_IT_IS = "\b"


def page() -> str:
    """Every command, with its arguments and options."""
    root: Any = get_command(app)
    context = typer.Context(root, info_name="kaon")
    parts = ["# Command line\n", _help(root.help), *_parameters(root, context)]
    for path, command, inner in sorted(commands(root, context), key=lambda found: found[0]):
        parts += [f"## {path}\n", block(_usage(path, command, inner)), _help(command.help)]
        parts += _parameters(command, inner)
    return "\n".join(parts)


def commands(group: Any, context: Any) -> Iterator[tuple[str, Any, Any]]:
    """All commands of a group and of the groups in it, each with its whole name and its context."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = typer.Context(command, info_name=name, parent=context)
        if hasattr(command, "list_commands"):
            yield from commands(command, inner)
        else:
            yield inner.command_path, command, inner


def _usage(path: str, command: Any, context: Any) -> str:
    # Typer puts brackets around metavars, whether they have some or not.
    pieces = [
        piece.strip("{}").replace("[[", "[").replace("]]", "]")
        for piece in command.collect_usage_pieces(context)
    ]
    return " ".join([path, *pieces])


def _help(text: str | None) -> str:
    """Paragraphs of a help text; those that are to stay as they are become blocks."""
    lines = []
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        first, *rest = paragraph.strip("\n").split("\n")
        lines.append(
            block("\n".join(rest)) if first.strip() == _AS_IT_IS else plain(paragraph) + "\n"
        )
    return "\n".join(lines)


def _parameters(command: Any, context: Any) -> list[str]:
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            rows.append((code(" ".join(record[0].split())), plain(" ".join(record[1].split()))))
    return [table(("Argument or option", "Meaning"), rows)]
