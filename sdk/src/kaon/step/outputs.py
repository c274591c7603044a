"""The outputs of a step's function, as plain JSON by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaon.step import natives
from kaon.step.artifact import Artifact

ARTIFACT_TYPES = frozenset({"file", "dataset", "model", "metrics", "plot", "table", "text"})


class InvalidOutputs(Exception):
    """What the function returned cannot be its outputs."""


def named(returned: Any, declared: Mapping[str, str]) -> dict[str, Any]:
    """Return the outputs of a function by name.

    A dict is always taken as outputs by name. When only one output is declared, any other value is its value.

    Raises:
        InvalidOutputs: that cannot be. When a dict may have been meant as the only output's value, the text says how to write it.
    """
    if returned is None and (not declared or _written_as_files(declared)):
        return {}
    if isinstance(returned, dict):
        _check_only(returned, declared)
        values = returned
    elif len(declared) == 1:
        values = {next(iter(declared)): returned}
    elif returned is None:
        values = {}
    else:
        names = ", ".join(declared) or "none"
        raise InvalidOutputs(
            f"the step returned a {type(returned).__name__}; return a dict of its outputs ({names})"
        )
    return {str(name): _output(str(name), value, declared) for name, value in values.items()}


def _output(name: str, value: Any, declared: Mapping[str, str]) -> Any:
    try:
        return plain(value, declared.get(name, "any"))
    except InvalidOutputs as error:
        raise InvalidOutputs(f"output {name}: {error}") from error


def _check_only(returned: Mapping[Any, Any], declared: Mapping[str, str]) -> None:
    """Whether a dict has the only output by its name, when that may be a dict itself."""
    if len(declared) != 1:
        return
    ((name, kind),) = declared.items()
    if kind not in ("map", "any"):
        return
    fix = f"return {{{name!r}: value}} with the whole value of the output"
    if returned.keys() != declared.keys():
        keys = ", ".join(map(repr, returned)) or "no keys"
        raise InvalidOutputs(
            f"the step returned a dict with {keys}; a dict has the outputs by name, and must have {name!r} ({kind}) alone: {fix}"
        )
    if kind == "map" and not isinstance(returned[name], Mapping):
        raise InvalidOutputs(
            f"output {name!r} is declared as map, the step returned a {type(returned[name]).__name__} under that name: {fix}"
        )


def plain(value: Any, kind: str) -> Any:
    """`value` as JSON, artifacts as references."""
    if kind in ARTIFACT_TYPES:
        if isinstance(value, Artifact):
            return value.to_reference()
        if isinstance(value, (str, os.PathLike)):
            text = os.fspath(value)
            return (
                {"uri": text, "type": kind}
                if "://" in str(text)
                else {"path": str(Path(text).absolute())}
            )
    if isinstance(value, (list, tuple)):
        return [plain(item, "any") for item in value]
    if isinstance(value, dict):
        return {str(name): plain(item, "any") for name, item in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    try:
        if (text := natives.text_of(value)) is not None:
            return text
    except ValueError as error:
        raise InvalidOutputs(str(error)) from None
    # numpy's and similar scalars
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", 0) == 0:
        content = item()
        # Some have no plain form, such as numpy's dates.
        if content is None or isinstance(content, (bool, int, float, str)):
            return content
    library = type(value).__module__.partition(".")[0]
    shown = type(value).__name__ if library == "builtins" else f"{library}.{type(value).__name__}"
    raise InvalidOutputs(
        f"a value of type {shown} is not JSON; return plain values, or a path for an artifact"
    )


def _written_as_files(declared: Mapping[str, str]) -> bool:
    """Whether None can mean that every output is a file that has been written."""
    return all(kind in ARTIFACT_TYPES for kind in declared.values()) or len(declared) != 1
