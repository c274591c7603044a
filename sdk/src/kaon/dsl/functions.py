"""Python functions as steps: which can be found again by a runner, and what they take."""

from __future__ import annotations

import builtins
import inspect
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaon.dsl import environments, modules, named
from kaon.dsl.errors import WorkflowError
from kaon.dsl.named import NamedFunction
from kaon.dsl.source import Source

# The harness gives the step's context to functions that have a parameter of this name.
CONTEXT = frozenset({"context"})
_NOT_ASYNC = "a step is called as it is: write def, and asyncio.run(...) inside of it"
_NO_GENERATOR = (
    "a step gives its outputs at once: return a dict of them, and write many items to an artifact"
)


def check(name: str, function: object, source: Source) -> Callable[..., Any]:
    """Check that a runner can find `function` by module and name, and return it.

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
    plain = inspect.unwrap(function)
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        raise WorkflowError(
            f"step {name!r}: {qualname!r} is an async function; {_NOT_ASYNC}", source
        )
    if inspect.isgeneratorfunction(plain):
        raise WorkflowError(f"step {name!r}: {qualname!r} is a generator; {_NO_GENERATOR}", source)
    if "<lambda>" in qualname:
        raise WorkflowError(
            f"step {name!r}: runners cannot find a lambda; write a function with def", source
        )
    if "<locals>" in qualname:
        raise WorkflowError(
            f"step {name!r}: runners cannot find {qualname!r}, which is made inside of a function; "
            "move it to the top of its module",
            source,
        )
    return function


def given(
    name: str, function: object, source: Source, *, provided: frozenset[str] = CONTEXT
) -> Callable[..., Any] | NamedFunction:
    """Return the function of a step: as it is given, or by its name.

    Raises:
        WorkflowError: it cannot be found that way.
    """
    if isinstance(function, str):
        return named.parse(function, f"step {name!r}", source, provided=provided)
    return check(name, function, source)


def check_inputs(
    name: str,
    function: Callable[..., Any] | NamedFunction,
    inputs: set[str],
    source: Source,
    *,
    provided: frozenset[str] = CONTEXT,
) -> None:
    """Check that the function can be called with these inputs; it gets the `provided` arguments besides.

    One that is given by its name is looked up later, when the directory of the code is known.

    Raises:
        WorkflowError: it lacks one, or gets one that it does not take.
    """
    if isinstance(function, NamedFunction):
        return
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # some functions written in C do not tell
        return
    _check_call(name, function.__qualname__, parameters, inputs, provided, source)


def takes(function: Callable[..., Any] | NamedFunction | None, source: Source) -> frozenset[str]:
    """Return the names of a function's parameters, as far as they are known where a step is written.

    The module of one that is given by its name is looked for beside the file that names it.
    """
    try:
        if isinstance(function, NamedFunction):
            found = function.parameters(Path(source.file).parent, "", source) or ()
        elif function is not None:
            found = tuple(inspect.signature(function).parameters.values())
        else:
            found = ()
    # Some functions written in C do not tell; a module elsewhere is checked when the directory of the code is known.
    except (ValueError, TypeError, WorkflowError):
        return frozenset()
    return frozenset(
        each.name for each in found if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    )


def defaults(
    name: str, function: Callable[..., Any] | NamedFunction | None, root: Path, source: Source
) -> dict[str, Any]:
    """Return the defaults of a function's parameters by name, as far as they are known; not those that are None."""
    found: Collection[inspect.Parameter] | None
    if function is None:
        return {}
    if isinstance(function, NamedFunction):
        found = function.parameters(root, f"step {name!r}", source)
    else:
        try:
            found = inspect.signature(function).parameters.values()
        except (ValueError, TypeError):  # some functions written in C do not tell
            found = None
    return {each.name: each.default for each in found or () if _default(each)}


def _default(parameter: inspect.Parameter) -> bool:
    return parameter.default is not parameter.empty and parameter.default is not None


def check_named(
    name: str, function: NamedFunction, inputs: set[str], root: Path, source: Source
) -> None:
    """Check that the bundle has the function, and that it can be called with these inputs.

    Raises:
        WorkflowError: it has not, or it cannot.
    """
    parameters = function.parameters(root, f"step {name!r}", source)
    if kind := function.unfit(root):
        why = _NOT_ASYNC if kind.startswith("an async") else _NO_GENERATOR
        raise WorkflowError(f"step {name!r}: {str(function)!r} is {kind}; {why}", source)
    if parameters is not None:
        _check_call(name, function.qualname, parameters, inputs, function.provided, source)


def _check_call(
    name: str,
    qualname: str,
    parameters: Collection[inspect.Parameter],
    inputs: set[str],
    provided: frozenset[str],
    source: Source,
) -> None:
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    taken = {p.name for p in named}
    needed = {p.name for p in named if p.default is p.empty} - provided
    needed |= {p.name for p in parameters if p.kind is p.POSITIONAL_ONLY and p.default is p.empty}
    written = f"function {qualname}({', '.join(sorted(taken - provided))})"
    if missing := sorted(needed - inputs):
        raise WorkflowError(
            f"step {name!r} gives no value for {_list(missing)} of {written}", source
        )
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if not takes_any and (unknown := sorted(inputs - taken)):
        raise WorkflowError(
            f"step {name!r} gives {_list(unknown)}, which {written} does not take", source
        )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How a runner imports a function."""

    # With the code bundle on the path; empty parts never occur.
    module: str
    qualname: str
    # Whether the module is in the bundle; otherwise an environment gives it.
    bundled: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.qualname}"


def entry(
    name: str, function: Callable[..., Any] | NamedFunction, root: Path, source: Source
) -> Entry:
    """Return the name by which a runner imports the function with `root` (the code bundle) on its path.

    Raises:
        WorkflowError: the function's module cannot be imported from there.
    """
    file = (
        function.file(root, f"step {name!r}", source)
        if isinstance(function, NamedFunction)
        else _file(function)
    )
    relative = modules.within(root, file) if file is not None else None
    if relative is None:
        assert not isinstance(function, NamedFunction)
        return _entry_elsewhere(name, function, file, root, source)
    path = relative.with_suffix("")
    parts = path.parts[:-1] if path.name == "__init__" else path.parts
    if not parts or not all(part.isidentifier() for part in parts):
        raise WorkflowError(
            f"step {name!r}: {relative} cannot be imported by that name; rename it to letters, digits and underscores",
            source,
        )
    if parts[0] in modules.KAON or _is_taken(parts[0], root):
        raise WorkflowError(
            f"step {name!r}: {relative} has the name of a module {parts[0]!r} of Python or Kaon, which runners would import in "
            "its place; rename it",
            source,
        )
    return Entry(module=".".join(parts), qualname=_qualname(function), bundled=True)


def _qualname(function: Callable[..., Any] | NamedFunction) -> str:
    return function.qualname if isinstance(function, NamedFunction) else function.__qualname__


def _is_taken(module: str, root: Path) -> bool:
    """Whether a module of Python's own has been imported by this name."""
    if module not in sys.stdlib_module_names or module not in sys.modules:
        return False
    file = getattr(sys.modules[module], "__file__", None)
    return file is None or modules.within(root, Path(file)) is None


def _file(function: Callable[..., Any]) -> Path | None:
    """Return the file that defines a function; None for one that is written in C or at a prompt."""
    plain = inspect.unwrap(function)
    file = inspect.getsourcefile(plain) if inspect.isfunction(plain) else None
    file = file or getattr(sys.modules.get(function.__module__), "__file__", None)
    return Path(file) if file is not None else None


def _entry_elsewhere(
    name: str, function: Callable[..., Any], file: Path | None, root: Path, source: Source
) -> Entry:
    """Return the entry of a function that comes from an environment."""
    if function.__module__ == "__main__":
        raise WorkflowError(
            f"step {name!r}: function {function.__qualname__!r} is not in a file under {root}, so runners would not get it",
            source,
        )
    if file is not None and not environments.gives(file.resolve()):
        what = f"step {name!r}: function {function.__qualname__!r}"
        raise WorkflowError(modules.outside(what, file.resolve(), root), source)
    return Entry(module=function.__module__, qualname=function.__qualname__, bundled=False)


def check_found(name: str, function: Callable[..., Any] | NamedFunction, source: Source) -> None:
    """Check that runners find this very function by its name, now that its module is complete.

    Raises:
        WorkflowError: they find another one, or none.
    """
    if isinstance(function, NamedFunction):
        return
    plain = inspect.unwrap(function)
    missing = object()
    found: Any = missing
    space = getattr(plain, "__globals__", {})
    if (
        space.get("__name__") != function.__module__
    ):  # a class, what is written in C, what a library gives under another name
        space = vars(sys.modules.get(function.__module__, builtins))
    for index, part in enumerate(function.__qualname__.split(".")):
        found = getattr(found, part, missing) if index else space.get(part, missing)
    if not _calls(found, function):
        instead = (
            "nothing"
            if found is missing
            else _where(inspect.unwrap(found) if callable(found) else found)
        )
        raise WorkflowError(
            f"step {name!r} was given {_where(plain)}, but runners look for {function.__module__}.{function.__qualname__} "
            f"and find {instead}; give each function a name of its own",
            source,
        )


def _calls(found: object, function: object) -> bool:
    """Whether what was found is the function that was given, or wraps it."""
    if inspect.ismethod(found):  # made anew at every look
        return found == function
    while found is not function:
        if not hasattr(found, "__wrapped__"):
            return False
        found = found.__wrapped__
    return True


def _where(found: object) -> str:
    code = getattr(found, "__code__", None)
    return (
        f"the function in line {code.co_firstlineno} of {code.co_filename}"
        if code is not None
        else repr(found)
    )


def _list(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)
