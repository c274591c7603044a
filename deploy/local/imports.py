"""Checks what no linter knows of the imports in this repository; `make check` runs it.

- A function imports packages of others only, the heavy ones that few of its callers need. What is our own is imported at the top of
  a module, where a circle cannot hide.
- The engine and the matcher import the standard library, the wire and protobuf alone.
- The program of a service loads its modules within `loading`, which makes its start and its end cheaper.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PURE = tuple(
    f"services/coordinator/src/kaon_coordinator/{part}/" for part in ("engine", "matching")
)
PROGRAM = "__main__.py"
LOADING = "kaon_wire.loading"
PURE_IMPORTS = ("kaonapi", "kaon_wire", "google.protobuf")
# Functions that may import a module of ours, and why.
ALLOWED = {
    # A Scala step starts a process for each attempt, and only the first one compiles.
    ("services/step-runner/src/kaon_runner/children/scala.py", "kaon_artifacts.durable"),
    # OpenTelemetry's SDK takes half as long to load as a runner, and most have no traces.
    ("packages/telemetry/src/kaon_telemetry/tracing.py", "kaon_telemetry.tracefile"),
    # A web server: of the commands only `kaon ui` and `kaon run --ui` have one.
    ("services/console/src/kaon_console/command.py", "kaon_console.beside"),
    ("packages/embedded/src/kaon_embedded/running.py", "kaon_console.beside"),
    # Registries, Docker and Kafka: few workflows publish.
    ("packages/embedded/src/kaon_embedded/system.py", "kaon_embedded.publishing"),
    # The whole system: a mistake in the file is told before it is loaded.
    ("packages/embedded/src/kaon_embedded/command.py", "kaon_embedded.running"),
    # The same: the help of all commands is printed without it.
    ("packages/embedded/src/kaon_embedded/serving.py", "kaon_embedded.served"),
}


def problems(place: str, source: str) -> list[str]:
    """What is wrong with the imports of a file, each with its line."""
    tree = ast.parse(source)
    found = [
        f"{place}:{line}: a function imports {name}: import it at the top of the module"
        for line, name in _in_functions(tree)
        if is_ours(name) and (place, name) not in ALLOWED
    ]
    if place.startswith(PURE):
        package = ".".join(Path(place).parts[3:5])
        found += [
            f"{place}:{line}: imports {name}; {package} stands on the standard library and the wire alone"
            for line, name in _imports(ast.walk(tree))
            if not _is_pure(name, package)
        ]
    if place.startswith(("services/", "deploy/local/src/")) and Path(place).name == PROGRAM:
        found += [
            f"{place}:{line}: imports {name} outside of `with loading():` ({LOADING})"
            for line, name in _imports(tree.body)
            if name != LOADING and name.split(".", maxsplit=1)[0] not in sys.stdlib_module_names
        ]
    return found


def is_ours(name: str) -> bool:
    """Whether a module belongs to this repository; relative imports begin with a dot."""
    top = name.split(".", maxsplit=1)[0]
    return top in {"", "kaon", "kaonapi"} or top.startswith("kaon_")


def _is_pure(name: str, package: str) -> bool:
    inside = any(f"{name}.".startswith(f"{each}.") for each in (package, *PURE_IMPORTS))
    return inside or name.split(".", maxsplit=1)[0] in sys.stdlib_module_names


def _in_functions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    functions = (
        each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    inside = {node for function in functions for node in ast.walk(function)}
    return _imports(
        sorted(
            (each for each in inside if isinstance(each, ast.stmt)), key=lambda each: each.lineno
        )
    )


def _imports(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """Lines and modules of the imports among some nodes."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def main() -> int:
    """Checks every Python file that git knows, and those that it would; returns the exit code."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.py"]
    files = subprocess.run(
        listed, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    sources = [
        (place, ROOT / place) for place in sorted(files) if place and (ROOT / place).exists()
    ]
    found = [
        problem
        for place, file in sources
        for problem in problems(place, file.read_text(encoding="utf-8"))
    ]
    print("\n".join(found) or f"imports: {len(sources)} files are well")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
