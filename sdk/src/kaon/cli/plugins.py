"""Commands that other packages bring along, by the entry-point group `kaon.commands`.

An entry point's name is the command's; it leads to a typer.Typer or to a function. It is loaded when the command is called or its
help is shown, so that other commands do not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from kaon.cli import metavars
from kaon_wire.errors import KaonError
from kaon_wire.version import VERSION

GROUP = "kaon.commands"
# Of the entry point that opens directories of `kaon run --state`.
STATES = "kaon.states"
# Commands that the SDK names in its help, and the extras of this package that bring them.
EXPECTED = {"run": "run", "serve": "run", "ui": "console"}
_LAST = "The system"
# Under which heading the help lists them.
HEADINGS = {"run": "Start runs", "serve": _LAST, "ui": "Look at runs"}


class PluginGroup(TyperGroup):
    """The commands of this package and those of entry points."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All commands in the order of the help: this package's in the order in which they were added."""
        own = super().list_commands(ctx)
        brought = sorted(_found().keys() - set(own))
        # A heading stands where the first of its commands does.
        first = [name for name in brought if HEADINGS.get(name, _LAST) != _LAST]
        return [*first, *own, *(name for name in brought if name not in first)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of a name, of this package or of a plug-in."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return metavars.without_types(own)
        found = _found()
        if cmd_name in found:
            return metavars.without_types(load(found[cmd_name]))
        if cmd_name in EXPECTED:
            raise _not_installed(f"kaon {cmd_name}", EXPECTED[cmd_name])
        return None


def state_opener() -> Callable[[Path], AbstractContextManager[str]]:
    """Return a context manager that serves the runs in a directory of `kaon run --state` and gives the address.

    Raises:
        KaonError: the package that brings it is not installed.
    """
    for entry in entry_points(group=STATES):
        opener: Callable[[Path], AbstractContextManager[str]] = entry.load()
        return opener
    raise _not_installed("--state", EXPECTED["run"])


def load(entry: EntryPoint) -> Any:
    """Load the command of an entry point.

    Raises:
        KaonError: it cannot be loaded, or is neither a typer.Typer nor a function.
    """
    try:
        target = entry.load()
    except Exception as error:
        raise KaonError(
            f"command {entry.name!r} ({entry.value}) cannot be loaded: {error}"
        ) from error
    if isinstance(target, typer.Typer):
        app = target
    elif callable(target):
        app = typer.Typer(add_completion=False)
        app.command()(target)
    else:
        raise KaonError(
            f"command {entry.name!r} ({entry.value}) is neither a typer.Typer nor a function"
        )
    # Not `click.Command`: the heading is typer's own.
    command: Any = typer.main.get_command(app)
    command.name = entry.name
    command.rich_help_panel = HEADINGS.get(entry.name, "Further commands")
    return command


def _not_installed(what: str, extra: str) -> KaonError:
    return KaonError(
        f"{what} needs more than the client, which is all that is installed: "
        f"pip install 'kaon[{extra}]=={VERSION}'"
    )


def _found() -> Mapping[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
