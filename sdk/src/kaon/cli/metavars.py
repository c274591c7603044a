"""How the help of commands names values: by what they mean, such as DIR and TIME, and never by the type that holds them."""

from __future__ import annotations

from copy import copy
from typing import Any

from typer.core import TyperArgument


def without_types(command: Any) -> Any:
    """Leave the types of arguments out of the help of a command, or of all commands of a group, and return it.

    Typer writes "<str>" beside the name of an argument, which an option has in place of its name only.
    """
    for inner in getattr(command, "commands", {}).values():
        without_types(inner)
    for parameter in command.params:
        if isinstance(parameter, TyperArgument):
            # A copy: arguments share their types with options.
            parameter.type = copy(parameter.type)
            parameter.type.get_metavar = _nothing  # type: ignore[method-assign]
    return command


def _nothing(*_: Any, **__: Any) -> str:
    return ""
