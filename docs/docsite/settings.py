"""The reference of environment variables, from the settings of the services and the comments above them."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import kaon_console.settings
import kaon_coordinator.settings
import kaon_coordinator.view.view_settings
import kaon_publisher.settings
import kaon_runner.settings
from docsite.fields import fields_of
from docsite.text import code, plain, table
from docsite.variables import ELSEWHERE, Variable
from kaon_service.access.access_settings import AccessSettings

# Variables that a comment explains: "NAME: text" or "NAME, NAME: text".
_NAMED = re.compile(r"((?:[A-Z][A-Z0-9]*_[A-Z0-9_]+(?:, )?)+): ")
# The runner's comments name the variable at the end of a sentence.
_REPEATED = re.compile(r" \(KAON_[A-Z_]+\)")


_INTRODUCTION = """# Settings

Services read environment variables when they start.
[Operations](../docs/operations.md) says which of them matter in a deployment, and
[limits](limits.md) lists what `KAON_LIMITS` changes.
"""


def page() -> str:
    """All environment variables, by service."""
    services = {
        "Who may call, and TLS: services with a gRPC API": of_access(),
        "Coordinator": read_by(kaon_coordinator.settings),
        "View service": read_by(kaon_coordinator.view.view_settings),
        "Model-publisher": read_by(kaon_publisher.settings),
        "Step-runner": of_runner(),
        "Console": read_by(kaon_console.settings),
    }
    parts = [_INTRODUCTION]
    for heading, variables in (services | ELSEWHERE).items():
        rows = [(code(v.name), code(v.default), plain(v.text)) for v in variables]
        parts += [f"## {heading}\n", table(("Variable", "Default", "Meaning"), rows)]
    return "\n".join(parts)


def read_by(module: ModuleType) -> tuple[Variable, ...]:
    """What a settings module reads, whose comments name the variables.

    Raises:
        ValueError: a comment names a variable that is not read, or the other way round.
    """
    texts = {
        name: text for entry in fields_of(module.Settings) for name, text in _texts(entry.comment)
    }
    defaults = dict(_defaults(module))
    defaults |= {name: "" for name in texts.keys() - defaults.keys() if _passed_on(module, name)}
    if texts.keys() != defaults.keys():
        raise ValueError(
            f"{module.__name__}: read or explained, but not both: {sorted(texts.keys() ^ defaults.keys())}"
        )
    return tuple(
        Variable(name=name, default=defaults[name], text=text) for name, text in texts.items()
    )


def of_access() -> tuple[Variable, ...]:
    """What says who may call the services."""
    default = AccessSettings()
    return tuple(
        Variable(name=name, default=_shown(getattr(default, entry.name)), text=text)
        for entry in fields_of(AccessSettings)
        for name, text in _texts(entry.comment)
    )


def of_runner() -> tuple[Variable, ...]:
    """What a runner reads: a variable for each field."""
    defaults = {field.name: field.default for field in fields(kaon_runner.settings.Settings)}
    return tuple(
        Variable(
            name=f"KAON_{entry.name.upper()}",
            default=_shown(defaults[entry.name]),
            text=_REPEATED.sub("", entry.comment),
        )
        for entry in fields_of(kaon_runner.settings.Settings)
    )


def _texts(comment: str) -> Iterator[tuple[str, str]]:
    before, *pairs = _NAMED.split(comment)
    for names, text in zip(pairs[::2], pairs[1::2], strict=True):
        for name in names.split(", "):
            sentence = f"{before}{text}".strip().rstrip(";")
            # "host:port" stays as it is.
            yield (
                name,
                sentence if ":" in sentence.split()[0] else sentence[:1].upper() + sentence[1:],
            )


def _defaults(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Which variables the module reads, each with its default: calls whose arguments are a name and `default.x`."""
    found_at_start = {f.name for f in fields(module.Settings) if f.default is MISSING}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not isinstance(node, ast.Call):
            continue
        name, default = "", ""
        for argument in node.args:
            if isinstance(argument, ast.Constant) and re.fullmatch(
                r"[A-Z]+(_[A-Z]+)+", str(argument.value)
            ):
                name = str(argument.value)
            elif name and isinstance(argument, ast.Attribute):
                path = ast.unparse(argument).split(".")[1:]
                default = (
                    "" if path[0] in found_at_start and len(path) == 1 else _value(module, path)
                )
        if name:
            yield name, default


def _passed_on(module: ModuleType, name: str) -> bool:
    """Whether a class or function that the module imports reads the variable."""
    sources = {thing.__module__ for thing in vars(module).values() if hasattr(thing, "__module__")}
    sources = {each for each in sources if each and each.startswith("kaon_")}
    return any(f'"{name}"' in inspect.getsource(sys.modules[each]) for each in sources)


def _value(module: ModuleType, path: list[str]) -> str:
    # Topics have defaults of their own.
    value: Any = module.Settings()
    if not hasattr(value, path[0]):
        value = value.catalogue
    for part in path:
        value = getattr(value, part)
    return _shown(value)


def _shown(value: object) -> str:
    if value is MISSING or value is None:
        return ""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str):
        # The interpreter of whoever builds the site says nothing.
        return "" if value.startswith("/") else value
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
