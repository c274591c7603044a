"""Loads the workflow that a file defines."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from kaon.dsl import environments, modules
from kaon.dsl.errors import WorkflowError
from kaon.dsl.source import Source
from kaon.dsl.workflow import Workflow
from kaon_wire.errors import KaonError


def load_workflow(file: str | Path, name: str | None = None) -> Workflow:
    """Run a Python file and return the workflow that it defines; `name` chooses among several.

    The file's directory comes first on the module path while it runs, as if it was run by Python.

    Raises:
        WorkflowError: the file is missing, fails, or does not define exactly one workflow (of that name) that is no part of
            another one.
    """
    path = Path(file).resolve()
    if not path.is_file():
        raise WorkflowError(f"there is no file {file}")
    _check_name(path)
    module = _run(path)
    found = {id(each): each for each in vars(module).values() if isinstance(each, Workflow)}
    workflows = [each for each in found.values() if name is None or each.name == name]
    if name is None:  # a workflow that another one runs is only a part of it
        parts = {id(child) for each in workflows for child in each.children}
        workflows = [each for each in workflows if id(each) not in parts]
    if len(workflows) == 1:
        return workflows[0]
    if not workflows:
        wanted = "no Workflow" if name is None else f"no Workflow {name!r}"
        raise WorkflowError(
            f'{file} defines {wanted}; assign it to a name: wf = Workflow("my-workflow", body)'
        )
    raise WorkflowError(
        f"{file} defines several workflows: {', '.join(sorted(each.name for each in workflows))}; name one"
    )


def _check_name(path: Path) -> None:
    """Refuses files that would be imported in place of Kaon, or a workflow's file in place of what runs already."""
    candidates = (file for name in modules.KAON for file in (f"{name}.py", f"{name}/__init__.py"))
    for file in candidates:
        if (path.parent / file).is_file():
            raise WorkflowError(f"{path.parent / file} {modules.TAKEN}")
    if path.stem in sys.stdlib_module_names and path.stem in sys.modules:
        known = getattr(sys.modules[path.stem], "__file__", None)
        if known is None or environments.gives(Path(known).resolve()):
            raise WorkflowError(
                f"{path} has the name of Python's own module {path.stem!r}, which runners would import in its place; rename it"
            )


def _run(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise WorkflowError(f"{path} is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    previous = sys.modules.get(path.stem)
    sys.modules[path.stem] = module
    try:
        with _on_path(str(path.parent)), _own_neighbours(path.parent):
            spec.loader.exec_module(module)
    except KaonError:
        _restore(path.stem, previous)
        raise
    except (Exception, SystemExit) as error:
        _restore(path.stem, previous)
        raise WorkflowError(f"{type(error).__name__}: {error}", _raised_at(error, path)) from error
    return module


@contextmanager
def _on_path(directory: str) -> Iterator[None]:
    """Put the directory first on the module path for a while; later imports of Kaon must not come from there."""
    added = directory not in sys.path
    if added:
        sys.path.insert(0, directory)
    try:
        yield
    finally:
        if added and directory in sys.path:
            sys.path.remove(directory)


@contextmanager
def _own_neighbours(directory: Path) -> Iterator[None]:
    """Let imports find the files of a directory, although modules of the same names were loaded from elsewhere before.

    A notebook may load workflows of several directories, each with a file `fit.py`. What is not imported meanwhile stays
    as it was. Packages of the environment are never loaded anew.
    """
    here = {file.stem if file.suffix == ".py" else file.name for file in directory.iterdir()}
    known = here & sys.modules.keys() - {"__main__"}
    others = {name for name in known if _is_from_elsewhere(name, directory)}
    aside = {
        name: module
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in others
    }
    for name in aside:
        del sys.modules[name]
    try:
        yield
    finally:
        for name, module in aside.items():
            if name.partition(".")[0] not in sys.modules:
                sys.modules[name] = module


def _is_from_elsewhere(name: str, directory: Path) -> bool:
    file = getattr(sys.modules[name], "__file__", None)
    if file is None:
        return False
    path = Path(file).resolve()
    return not path.is_relative_to(directory.resolve()) and not environments.gives(path)


def _restore(name: str, previous: ModuleType | None) -> None:
    if previous is None:
        sys.modules.pop(name, None)
    else:
        sys.modules[name] = previous


def _raised_at(error: BaseException, path: Path) -> Source:
    """Return the innermost line of the workflow's directory that the error passed, else of the file itself."""
    if isinstance(error, SyntaxError) and error.filename:
        return Source(file=error.filename, line=error.lineno or 1)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(path.parent)]
    return (
        Source(file=own[-1].filename, line=own[-1].lineno or 1)
        if own
        else Source(file=str(path), line=1)
    )
