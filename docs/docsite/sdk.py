"""The reference of the SDK's public names, from signatures and docstrings."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from dataclasses import is_dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import kaon
import kaon.client
import kaon.dsl
import kaon.step
import kaon.testing
from docsite.fields import fields_of
from docsite.text import plain, prose

_INTRODUCTION = """# SDK

What workflow files, steps and client programs import.
[Writing workflows](../docs/workflows.md) teaches the language, [the page about steps](../docs/steps.md) what a step's code may do.
"""
_MODULES: tuple[tuple[str, ModuleType], ...] = (
    ("kaon", kaon.dsl),
    ("kaon.steps", kaon.steps),
    ("kaon.step", kaon.step),
    ("kaon.client", kaon.client),
    ("kaon.testing", kaon.testing),
)


def page() -> str:
    """All public names, by the module from which they are imported."""
    parts = [_INTRODUCTION]
    for name, module in _MODULES:
        parts += [f"## {name}\n", f"```{{py:module}} {name}\n```\n", prose(module.__doc__)]
        for word in module.__all__:
            thing = getattr(module, word)
            if not isinstance(thing, ModuleType):
                parts += _entry(f"{name}.{word}", thing)
    return "\n".join(parts)


def _entry(name: str, thing: Any) -> Iterator[str]:
    if inspect.isclass(thing):
        yield from _class(name, thing)
    elif callable(thing):
        yield _directive("function", f"{name}{_signature(thing)}", prose(thing.__doc__))
    else:
        yield _directive("data", name, "")


def _class(name: str, kind: type) -> Iterator[str]:
    exception = issubclass(kind, BaseException)
    # A docstring that dataclasses makes up repeats the signature.
    text = (
        ""
        if is_dataclass(kind) and (kind.__doc__ or "").startswith(f"{kind.__name__}(")
        else kind.__doc__
    )
    members = "" if exception else "\n".join(_members(kind))
    signature = "" if exception or _is_internal(kind) else _signature(kind)
    word = "exception" if exception else "class"
    yield _directive(word, f"{name}{signature}", f"{prose(text)}\n{members}", fence="``````")


def _members(kind: type) -> Iterator[str]:
    made_elsewhere, seen = _is_internal(kind), set[str]()
    if is_dataclass(kind) and not made_elsewhere:
        for field in fields_of(kind):
            if not field.name.startswith("_") and field.comment:
                yield _directive(
                    "attribute", f"{field.name}", plain(field.comment), {"type": field.type}
                )
    for owner in _own_bases(kind):
        for name, member in vars(owner).items():
            if name.startswith("_") or name in seen or not _documented(member):
                continue
            seen.add(name)
            if made_elsewhere and isinstance(member, property):
                continue
            if isinstance(member, property | cached_property):
                yield _directive("property", name, prose(member.__doc__))
            else:
                function = inspect.unwrap(getattr(kind, name))
                yield _directive(
                    "method", f"{name}{_signature(function, bound=True)}", prose(function.__doc__)
                )


def _own_bases(kind: type) -> list[type]:
    """The class and those of its bases that are no public names themselves."""
    public = {
        getattr(module, word)
        for _, module in _MODULES
        for word in module.__all__
        if _is_class(module, word)
    }
    return [
        base
        for base in kind.__mro__
        if base.__module__.startswith("kaon") and (base is kind or base not in public)
    ]


def _is_class(module: ModuleType, word: str) -> bool:
    return inspect.isclass(getattr(module, word))


def _documented(member: object) -> bool:
    callable_ = inspect.isfunction(member) or isinstance(member, classmethod | staticmethod)
    return (callable_ or isinstance(member, property | cached_property)) and bool(
        inspect.getdoc(member)
    )


def _is_internal(kind: type) -> bool:
    """Whether functions of the language make such objects: one of their fields tells where in a file that was."""
    return is_dataclass(kind) and any(field.name == "source" for field in dataclasses.fields(kind))


def _signature(function: Any, *, bound: bool = False) -> str:
    """The parameters, with annotations as they are written."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return "()"
    parameters = list(signature.parameters.values())
    if parameters and parameters[0].name in {"self", "cls"} and bound:
        parameters = parameters[1:]
    shown = [
        p.replace(
            annotation=_as_written(p.annotation),
            default=_AsWritten("...") if _opaque(p.default) else p.default,
        )
        for p in parameters
    ]
    returns = (
        signature.empty if inspect.isclass(function) else _as_written(signature.return_annotation)
    )
    return str(signature.replace(parameters=shown, return_annotation=returns))


class _AsWritten:
    """Stands for an annotation or default in a signature, and is shown as this text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _as_written(annotation: Any) -> Any:
    return _AsWritten(annotation) if isinstance(annotation, str) else annotation


def _opaque(value: object) -> bool:
    """Whether a default is shown with an address, or with nothing to read."""
    return value is not inspect.Parameter.empty and (
        " at 0x" in repr(value) or "<factory>" in repr(value)
    )


def _directive(
    word: str, head: str, body: str, options: dict[str, str] | None = None, *, fence: str = "`````"
) -> str:
    lines = [f":{name}: {value}" for name, value in (options or {}).items()]
    return "\n".join([f"{fence}{{py:{word}}} {head}", *lines, "", body.strip(), fence, ""])
