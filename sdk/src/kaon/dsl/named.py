"""Functions that a step names as text, "module:function": their modules need not be importable where the workflow is written.

The module's source in the code bundle is read, not executed: it may import packages that only runners have.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Any

from kaon.dsl import modules
from kaon.dsl.errors import WorkflowError
from kaon.dsl.source import Source
from kaon_wire.texts import meant

_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_NAMED = re.compile(rf"{_WORD}(?:\.{_WORD})*:{_WORD}(?:\.{_WORD})*")


@dataclass(frozen=True, kw_only=True)
class NamedFunction:
    """A function by its name."""

    module: str
    qualname: str
    # Arguments that it gets besides the inputs.
    provided: frozenset[str]

    def __str__(self) -> str:
        return f"{self.module}:{self.qualname}"

    def file(self, root: Path, what: str, source: Source) -> Path:
        """Return the file of the module in the bundle `root`; errors begin with `what`.

        Raises:
            WorkflowError: the bundle has no such module.
        """
        found = modules.source_file(root, self.module)
        if found is None:
            raise WorkflowError(
                f"{what} names {str(self)!r}, but {root} has no module {self.module!r}; text names a function of the code "
                "bundle, one of an installed package is given itself",
                source,
            )
        return found

    def parameters(self, root: Path, what: str, source: Source) -> Sequence[Parameter] | None:
        """Return what the function takes; None when its source does not tell.

        Raises:
            WorkflowError: there is no such function.
        """
        file = self.file(root, what, source)
        tree: ast.Module | ast.ClassDef = modules.parsed(file)
        *classes, name = self.qualname.split(".")
        for part in classes:
            found = _defined(tree, part)
            if not isinstance(found, ast.ClassDef):
                # Made by an assignment or an import: only running the module tells what is in it.
                self._check(tree, part, file, what, source)
                return None
            tree = found
        self._check(tree, name, file, what, source)
        found = _defined(tree, name)
        if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef) and not (
            found.decorator_list or classes
        ):
            return list(_parameters(found.args))
        return None

    def unfit(self, root: Path) -> str:
        """Return what the function is that no step may be: async or a generator; empty when its source does not tell."""
        file = modules.source_file(root, self.module)
        found = _defined(modules.parsed(file), self.qualname) if file is not None else None
        if isinstance(found, ast.AsyncFunctionDef):
            return "an async function"
        # A decorator may make something else of a generator.
        if isinstance(found, ast.FunctionDef) and not found.decorator_list and _yields(found):
            return "a generator"
        return ""

    def _check(
        self, tree: ast.Module | ast.ClassDef, name: str, file: Path, what: str, source: Source
    ) -> None:
        bound = set(_bound(tree.body))
        if name in bound or "*" in bound:
            return
        hint = meant(name, bound)
        raise WorkflowError(
            f"{what} names {str(self)!r}, but {file} defines no {name!r} at its top{hint and f'; {hint}'}",
            source,
        )


def parse(text: str, what: str, source: Source, *, provided: frozenset[str]) -> NamedFunction:
    """Parse "module:function"; errors begin with `what`.

    Raises:
        WorkflowError: it is written otherwise.
    """
    if not _NAMED.fullmatch(text):
        raise WorkflowError(
            f'{what} needs a function, or its name as "module:function", not {text!r}', source
        )
    module, _, qualname = text.partition(":")
    return NamedFunction(module=module, qualname=qualname, provided=provided)


def _defined(tree: ast.Module | ast.ClassDef, name: str) -> ast.stmt | None:
    """Return the last definition of a name; the earlier ones do not count."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    named = [node for node in tree.body if isinstance(node, kinds) and node.name == name]
    return named[-1] if named else None


def _yields(node: ast.AST) -> bool:
    """Tell whether a function yields, itself and not only what is defined in it."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
    return any(
        isinstance(each, ast.Yield | ast.YieldFrom)
        or (not isinstance(each, kinds) and _yields(each))
        for each in ast.iter_child_nodes(node)
    )


def _bound(statements: Collection[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements bind, in whatever block of them; "*" for those of an import that does not say."""
    for node in statements:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (
                each.id
                for target in targets
                for each in ast.walk(target)
                if isinstance(each, ast.Name)
            )
        else:
            for part in ("body", "orelse", "finalbody"):
                yield from _bound(getattr(node, part, ()))
            for handler in getattr(node, "handlers", ()):
                yield from _bound(handler.body)


def _parameters(arguments: ast.arguments) -> Iterator[Parameter]:
    plain = [
        *((each, Parameter.POSITIONAL_ONLY) for each in arguments.posonlyargs),
        *((each, Parameter.POSITIONAL_OR_KEYWORD) for each in arguments.args),
    ]
    missing = len(plain) - len(arguments.defaults)
    for index, (each, kind) in enumerate(plain):
        default = _default(arguments.defaults[index - missing] if index >= missing else None)
        yield Parameter(each.arg, kind, default=default)
    if arguments.vararg is not None:
        yield Parameter(arguments.vararg.arg, Parameter.VAR_POSITIONAL)
    for each, written in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield Parameter(each.arg, Parameter.KEYWORD_ONLY, default=_default(written))
    if arguments.kwarg is not None:
        yield Parameter(arguments.kwarg.arg, Parameter.VAR_KEYWORD)


def _default(written: ast.expr | None) -> Any:
    """Return a default; None for one that only running the module tells, `Parameter.empty` for none."""
    if written is None:
        return Parameter.empty
    try:
        return ast.literal_eval(written)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
