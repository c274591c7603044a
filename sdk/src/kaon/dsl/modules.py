"""Which files of the code bundle Python modules need: themselves, the packages around them, and what they import from there.

Imports are read from the text of the modules, wherever in it they stand. What a module imports by a name that it computes
(`importlib.import_module(name)`, `__import__`) cannot be seen.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder, all_suffixes
from pathlib import Path, PurePosixPath

from kaon.dsl import environments
from kaon.dsl.errors import WorkflowError
from kaon.dsl.source import Source

# What runners have whatever the bundle holds.
KAON = ("kaon", "kaonapi", "kaon_wire")
TAKEN = "has the name of a part of Kaon, which could not be imported beside it; rename it"
# A directory `test` is common, and nothing imports Python's own tests.
_PYTHON = sys.stdlib_module_names - {"test"}


class Needed:
    """Collects the files that modules need.

    Args:
        root: the directory of the bundle: runners have it on their path.
        beside: the directory of the file that makes the workflow: it is on the path here, and not on that of runners.
    """

    def __init__(self, root: Path, beside: Path) -> None:
        # The line that asks for it, by the file's path in the bundle.
        self.files: dict[str, Source] = {}
        self._root = root
        self._beside = beside

    def add_module(self, name: str, source: Source) -> None:
        """Add a module of the bundle, which `source` names, and everything that it imports."""
        self._resolve(name, source, (self._root,))

    def add_file(self, file: str, source: Source) -> None:
        """Add a file that a step names; of a Python script also its imports from its own directory or the bundle."""
        if file not in self.files:
            self.files[file] = source
            if file.endswith(".py"):
                script = self._root / file
                self._follow(script, "", tuple(dict.fromkeys((script.parent, self._root))))

    def _resolve(self, name: str, source: Source, places: tuple[Path, ...]) -> bool:
        """Add the module `name` from the first directory that has it; return whether one has."""
        return any(self._resolve_in(top, name.split("."), source, places) for top in places)

    def _resolve_in(
        self, top: Path, parts: list[str], source: Source, places: tuple[Path, ...]
    ) -> bool:
        place, found = top, False
        for index, part in enumerate(parts):
            module, package = _module(place, part), _module(place / part, "__init__")
            if package is None and module is not None:
                self._take(module, source, ".".join(parts[:index]), places)
                return True
            place = place / part
            if not place.is_dir() or environments.is_environment(place):
                return found
            if package is not None:
                found = True
                self._take(package, source, ".".join(parts[: index + 1]), places)
        return found

    def _take(self, file: Path, source: Source, package: str, places: tuple[Path, ...]) -> None:
        path = file.relative_to(self._root).as_posix()
        if path not in self.files:
            self.files[path] = source
            if file.suffix == ".py":
                self._follow(file, package, places)

    def _follow(self, file: Path, package: str, places: tuple[Path, ...]) -> None:
        for node in _imports(parsed(file)):
            source = Source(file=str(file), line=node.lineno)
            for name in _names(node, package):
                if not self._resolve(name, source, places) and places == (self._root,):
                    self._check_elsewhere(name.split(".")[0], source)
            if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
                self._take_all(_absolute(node, package), source, places)

    def _take_all(self, package: str, source: Source, places: tuple[Path, ...]) -> None:
        """Add the modules that `from package import *` imports."""
        for place in places:
            file = _module(place.joinpath(*package.split(".")), "__init__")
            for name in _exported(file) if file is not None and file.suffix == ".py" else ():
                self._resolve(f"{package}.{name}", source, places)

    def _check_elsewhere(self, name: str, source: Source) -> None:
        """Refuses a module that is found here, but is neither in the bundle nor in an environment."""
        if (
            not name
            or name in sys.stdlib_module_names
            or name in KAON
            or (self._root / name).is_dir()
        ):
            return
        file = _found(name, self._beside)
        if file is not None and not environments.gives(file):
            raise WorkflowError(outside(f"import of {name!r}", file, self._root), source)


def ours(files: Iterable[str]) -> str:
    """Return the first of these files that would be imported in place of Kaon; empty when none would."""
    return next((file for file in files if _top_module(file) in KAON), "")


def shadowing(files: Iterable[str]) -> tuple[str, ...]:
    """Return a warning for each file that has the name of a standard library module."""
    return tuple(
        f"{file} has the name of Python's own module {name!r}: a step that imports {name!r}, itself or in a library, may get "
        "either of the two; rename the file"
        for file in files
        if (name := _top_module(file)) in _PYTHON
    )


def _top_module(file: str) -> str:
    """Return the name by which a file of the bundle is imported from its root; empty when it is not."""
    top, _, rest = file.partition("/")
    inner = PurePosixPath(rest or top)
    name = inner.name.removesuffix("".join(inner.suffixes))
    if not any(inner.name == name + suffix for suffix in all_suffixes()):
        return ""
    if not rest:
        return name
    return top if rest == inner.name and name == "__init__" else ""


def within(root: Path, file: Path) -> Path | None:
    """Return the path in the bundle of a file that a module was loaded from; None when it comes from elsewhere."""
    for path in (file.parent.resolve() / file.name, file.resolve()):
        if path.is_relative_to(root) and not environments.holds(root, path):
            return path.relative_to(root)
    return None


def outside(what: str, file: Path, root: Path) -> str:
    """Why a module cannot be used that is neither in the bundle nor in an environment, and what to do."""
    if file.is_relative_to(root):
        name = ".".join(file.relative_to(root).with_suffix("").parts)
        return f"{what}: it is {file} here, but runners have only {root} on their path; import it as {name!r} from there"
    common = Path(os.path.commonpath((root, file.parent)))
    return (
        f"{what}: {file} is outside of {root}, which is all that runners get; move it there, "
        f'give a directory that holds both (Workflow(..., root="{common}")), or install it as a package'
    )


def _module(directory: Path, name: str) -> Path | None:
    paths = (directory / f"{name}{suffix}" for suffix in all_suffixes())
    return next((path for path in paths if path.is_file()), None)


def _found(name: str, beside: Path) -> Path | None:
    """Return the file of a module as it is imported here."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None and name not in sys.modules:
        spec = PathFinder.find_spec(name, [str(beside), *sys.path])
        file = spec.origin if spec is not None and spec.has_location else None
    return Path(file).resolve() if file is not None else None


def source_file(root: Path, name: str) -> Path | None:
    """Return the Python file of a module of the bundle; None when there is none."""
    *packages, last = name.split(".")
    place = root.joinpath(*packages)
    for found in (_module(place / last, "__init__"), _module(place, last)):
        if found is not None and found.suffix == ".py" and within(root, found) is not None:
            return found
    return None


def parsed(file: Path) -> ast.Module:
    """Parse a module.

    Raises:
        WorkflowError: it cannot be parsed.
    """
    try:
        return ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        line = error.lineno or 1
        raise WorkflowError(
            f"{type(error).__name__}: {error.msg}", Source(file=str(file), line=line)
        ) from error
    except (ValueError, RecursionError, MemoryError, OSError) as error:
        raise WorkflowError(
            f"cannot be read as Python: {error}", Source(file=str(file), line=1)
        ) from error


def _imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and _for_type_checkers(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.expr):
            waiting += ast.iter_child_nodes(node)


def _for_type_checkers(test: ast.expr) -> bool:
    return getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING"


def _names(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[str]:
    """Return the names that a statement imports and that may be modules."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif base := _absolute(node, package):
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """Return the module that `from ... import` names, from the root of the bundle on; empty when there is none."""
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    kept = parts[: max(0, len(parts) - node.level + 1)]
    return ".".join((*kept, *filter(None, (node.module,))))


def _exported(file: Path) -> Iterator[str]:
    for node in parsed(file).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            constants = (each for each in ast.walk(node) if isinstance(each, ast.Constant))
            yield from (str(each.value) for each in constants)
