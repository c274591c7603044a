"""Calls a step's function, and says in the protocol's words what came of it."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import Any

from kaon.step.context import StepContext, StepSkipped
from kaon.step.outputs import InvalidOutputs, named

_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
_TRACEBACK_LIMIT = 8000
_BASES_LIMIT = 20
# Where the code bundle of this process is unpacked.
_code_roots: list[str] = []


class InvalidTarget(Exception):
    """The function that the workflow names cannot be loaded."""


@lru_cache(maxsize=256)
def load(target: str) -> tuple[Callable[..., Any], bool]:
    """Import the function `module:function`, and tell whether it takes the context.

    Raises:
        InvalidTarget: there is no such function, in words. An error inside of the module is raised as it is.
    """
    module_name, separator, name = target.partition(":")
    if not separator:
        raise InvalidTarget(f"{target!r} is not of the form module:function")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise InvalidTarget(
                f"there is no module {module_name!r} in the code bundle or the environment"
            ) from error
        raise
    function: Any = module
    for part in name.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        raise InvalidTarget(f"module {module_name!r} has no function {name!r}")
    return function, takes_context(function)


def takes_context(function: Callable[..., Any]) -> bool:
    """Whether the function has a parameter named `context`."""
    try:
        return "context" in inspect.signature(function).parameters
    except (ValueError, TypeError):  # some functions written in C do not tell
        return False


def call(target: str, context: StepContext, *, inputs_as_arguments: bool = True) -> dict[str, Any]:
    """Run the function and return its outputs by name, as plain JSON.

    Artifacts are {"path": local path} or {"uri": ..., "type": ...}.

    Raises:
        InvalidTarget: the function cannot be found.
        InvalidOutputs: it returned something that cannot be its outputs.
    """
    function, with_context = load(target)
    if not inputs_as_arguments:
        return _outputs(function(context), context)
    return _outputs(_called(function, context, with_context=with_context), context)


def call_function(function: Callable[..., Any], context: StepContext) -> dict[str, Any]:
    """Run a function that is at hand, as `call` does."""
    return _outputs(_called(function, context, with_context=takes_context(function)), context)


def _outputs(returned: Any, context: StepContext) -> dict[str, Any]:
    """Return the outputs by name; a step that serves has given them before."""
    return {} if context.serves else named(returned, context.outputs)


def _called(function: Callable[..., Any], context: StepContext, *, with_context: bool) -> Any:
    if with_context and "context" not in context.inputs:
        return function(**context.inputs, context=context)
    return function(**context.inputs)


def failure(error: BaseException) -> dict[str, Any]:
    """Make the error event for an exception of the step's code."""
    if isinstance(error, StepSkipped):
        return told("Skipped", str(error)) | {"skip": True}
    frames = _user_frames(error.__traceback__)
    lines = (
        traceback.format_exception_only(type(error), error)
        if getattr(error, "without_traceback", False)
        else traceback.format_exception(type(error), error, frames)
    )
    text = _without_place("".join(lines))
    where = _place(frames)
    return {
        "kind": "error",
        "type": type(error).__name__,
        # What a retry rule for OSError, say, matches too; the nearest first.
        "bases": [each.__name__ for each in type(error).__mro__[1:] if issubclass(each, Exception)][
            :_BASES_LIMIT
        ],
        "message": (_text(error) or type(error).__name__) + (f" ({where})" if where else ""),
        # Step types mark errors of what the platform provides, such as a server that does not answer.
        "user": not getattr(error, "platform_fault", False),
        "traceback": text[-_TRACEBACK_LIMIT:],
    }


def told(kind: str, message: str) -> dict[str, Any]:
    """Make the error event for a mistake of the step that raised no exception of its own."""
    return {"kind": "error", "type": kind, "message": message, "user": True, "traceback": ""}


def exit_answer(error: SystemExit) -> dict[str, Any]:
    """Make the error event for a `sys.exit` that reports a failure."""
    text = f"the step called sys.exit({error.code!r})"
    return told("ExitCode", text) | {"exit_code": exit_code(error)}


def answer_to(error: BaseException) -> dict[str, Any]:
    """Make the answer of a step whose function raised an exception."""
    if isinstance(error, InvalidTarget | InvalidOutputs):
        return told(type(error).__name__, str(error))
    if not isinstance(error, SystemExit):
        return failure(error)
    if exit_code(error) == 0:
        return {"kind": "succeeded", "outputs": {}}
    return exit_answer(error)


def _without_place(text: str) -> str:
    """Name the files of the code bundle in a traceback as their author knows them, not by where they are unpacked."""
    for root in _code_roots:
        text = text.replace(f'File "{root.rstrip(os.sep)}{os.sep}', 'File "')
    return text


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:
        return f"its text cannot be made: {type(problem).__name__} in its __str__"


def _user_frames(frames: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame on that is not ours."""
    first = frames
    while first is not None and first.tb_frame.f_code.co_filename.startswith(_OWN):
        first = first.tb_next
    return first or frames


def _place(frames: TracebackType | None) -> str:
    """File and line of the innermost frame that is neither ours, nor a step type's, nor a library's."""
    place = ""
    while frames is not None:
        name = frames.tb_frame.f_code.co_filename
        inside = f"{os.sep}kaon_runner{os.sep}children{os.sep}" in name
        if not inside and not name.startswith((_OWN, sys.prefix, sys.base_prefix, "<")):
            place = f"{os.path.basename(name)}:{frames.tb_lineno}"
        frames = frames.tb_next
    return place


def find_code() -> None:
    """Put the code bundle before everything else that is imported from now on.

    Not earlier: its `types.py` or `token.py` would be taken for Python's while Python starts.
    """
    path = os.environ.pop("KAON_CODE_PATH", "")
    if path:
        _code_roots.extend(path.split(os.pathsep))
        sys.path[:0] = path.split(os.pathsep)
        # For the programs that the step starts.
        old = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (path, old)))


def exit_code(error: SystemExit) -> int:
    """Return the code with which Python would exit for it."""
    return error.code if isinstance(error.code, int) else int(error.code is not None)
