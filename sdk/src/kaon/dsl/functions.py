"""Python functions as steps: which can be found again by a runner, and what they take."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kaon.dsl.errors import WorkflowError
from kaon.dsl.source import Source

# The harness gives the step's context to functions that have a parameter of this name.
CONTEXT = frozenset({"context"})


def check(name: str, function: object, source: Source) -> Callable[..., Any]:
    """`function`, when a runner can find it by module and name.

    Raises:
        WorkflowError: it cannot be found that way.
    """
    if not callable(function):
        raise WorkflowError(f"step {name!r} needs a function, not {function!r}", source)
    qualname = getattr(function, "__qualname__", None)
    if qualname is None or not getattr(function, "__module__", None):
        raise WorkflowError(
            f"step {name!r}: {function!r} has no name of its own; write a function with def at the top of a module",
            source,
        )
    if "<lambda>" in qualname:
        raise WorkflowError(f"step {name!r}: runners cannot find a lambda; write a function with def", source)
    if "<locals>" in qualname:
        raise WorkflowError(
            f"step {name!r}: runners cannot find {qualname!r}, which is made inside of a function; "
            "move it to the top of its module",
            source,
        )
    _check_same(name, function, qualname, source)
    return function


def check_inputs(
    name: str,
    function: Callable[..., Any],
    inputs: set[str],
    source: Source,
    *,
    provided: frozenset[str] = CONTEXT,
) -> None:
    """Checks that the function can be called with these inputs; what is `provided` it gets without them.

    Raises:
        WorkflowError: it lacks one, or gets one that it does not take.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # some functions written in C do not tell
        return
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    taken = {p.name for p in named}
    needed = {p.name for p in named if p.default is p.empty} - provided
    needed |= {p.name for p in parameters if p.kind is p.POSITIONAL_ONLY and p.default is p.empty}
    written = f"function {function.__qualname__}({', '.join(sorted(taken - provided))})"
    if missing := sorted(needed - inputs):
        raise WorkflowError(f"step {name!r} gives no value for {_list(missing)} of {written}", source)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if not takes_any and (unknown := sorted(inputs - taken)):
        raise WorkflowError(f"step {name!r} gives {_list(unknown)}, which {written} does not take", source)


def entry(name: str, function: Callable[..., Any], root: Path, source: Source) -> str:
    """The function as "module:name", as a runner imports it with `root` (the code bundle) on its path.

    Raises:
        WorkflowError: the function's module cannot be imported from there.
    """
    file = (
        inspect.getsourcefile(inspect.unwrap(function))
        if inspect.isfunction(inspect.unwrap(function))
        else None
    )
    if file is None or not Path(file).resolve().is_relative_to(root):
        return _entry_elsewhere(name, function, root, source)
    relative = Path(file).resolve().relative_to(root).with_suffix("")
    parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
    if not parts or not all(part.isidentifier() for part in parts):
        raise WorkflowError(
            f"step {name!r}: {relative}.py cannot be imported by that name; rename it to letters, digits and underscores",
            source,
        )
    return f"{'.'.join(parts)}:{function.__qualname__}"


def _entry_elsewhere(name: str, function: Callable[..., Any], root: Path, source: Source) -> str:
    """The entry of a function that comes from an installed package."""
    if function.__module__ == "__main__":
        raise WorkflowError(
            f"step {name!r}: function {function.__qualname__!r} is not in a file under {root}, so runners would not get it",
            source,
        )
    return f"{function.__module__}:{function.__qualname__}"


def _check_same(name: str, function: object, qualname: str, source: Source) -> None:
    found: Any = sys.modules.get(function.__module__)
    if found is None:  # a module that was loaded and dropped again: nothing to compare with
        return
    for part in qualname.split("."):
        found = getattr(found, part, None)
    # A function may be wrapped under its own name while its module is still being read, so its absence proves nothing.
    if found is not None and inspect.unwrap(found) is not inspect.unwrap(function):  # type: ignore[arg-type]
        raise WorkflowError(
            f"step {name!r}: {function.__module__}.{qualname} is now something else than the function given; "
            "give each function a name of its own",
            source,
        )


def _list(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)
