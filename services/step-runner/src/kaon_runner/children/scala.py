"""Compiles a Scala file when its content is new, and becomes the JVM that runs it.

`python -m kaon_runner.children.scala FILE HELPER CACHE MAIN [JVM OPTION...]`
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kaon_runner.steptypes import jvm

_COMPILER_OPTIONS = ("-Xss4m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_MAIN = re.compile(r"^\s*object\s+(\w+)", re.MULTILINE)
_PACKAGE = re.compile(r"^\s*package\s+([\w.]+)", re.MULTILINE)


def main() -> None:
    """Compile the source if needed and execute its main object."""
    file, helper, cache = (Path(each) for each in sys.argv[1:4])
    wanted, options = sys.argv[4], sys.argv[5:]
    jars = jvm.spark_jars()
    java = jvm.java()
    if jars is None or java is None:
        sys.exit("scala: Java 17 and the Python package pyspark are needed")
    # Before the compiler, which takes seconds: what is unclear is told at once.
    name = wanted or (main_object(file) if file.suffix != ".jar" else "")
    if not name:
        sys.exit(f'scala: {file.name}: give "main", the name of the object to run')
    jar = file if file.suffix == ".jar" else compiled(file, helper, cache, jars, java)
    # This process becomes the JVM: signals and the exit code are the program's own.
    os.execv(java, [java, *_JVM_DEFAULTS, *options, "-cp", f"{jar}:{jars}/*", name])


_JVM_DEFAULTS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


def compiled(file: Path, helper: Path, cache: Path, jars: Path, java: str) -> Path:
    """Return the jar of a source file and the helper, compiled once per content."""
    content = hashlib.sha256(
        file.read_bytes() + b"\0" + helper.read_bytes() + jvm.scala_version().encode()
    )
    jar = cache / f"{content.hexdigest()}.jar"
    if jar.exists():
        return jar
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(jar.with_suffix(".lock")):
        if not jar.exists():
            _compile(file, helper, jar, jars, java)
    return jar


def main_object(file: Path) -> str:
    """Return the full name of the only object with a main method in a source file.

    The workflow must name it when the source is ambiguous.
    """
    source = file.read_text(encoding="utf-8")
    package = _PACKAGE.search(source)
    parts = _MAIN.split(source)
    found = [
        name
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
        if "def main(" in body or "extends App" in body
    ]
    if len(found) != 1:
        sys.exit(
            f'scala: {file.name} has {len(found)} objects with a main method: name one with "main"'
        )
    return f"{package[1]}.{found[0]}" if package else found[0]


def _compile(source: Path, helper: Path, jar: Path, jars: Path, java: str) -> None:
    # Imported here: most steps compile nothing.
    from kaon_artifacts.durable import sync_and_move

    with tempfile.TemporaryDirectory(dir=jar.parent) as scratch:
        target = Path(scratch) / "out.jar"
        argv = [
            java,
            *_COMPILER_OPTIONS,
            "-cp",
            f"{jars}/*",
            "scala.tools.nsc.Main",
            "-usejavacp",
            "-deprecation",
        ]
        print(f"compiling {source.name}", flush=True)
        files = (str(source), str(_in_package_of(source, helper, Path(scratch))))
        done = subprocess.run([*argv, "-d", str(target), *files], check=False)
        if done.returncode:
            sys.exit(f"scala: {source.name} does not compile")
        sync_and_move(target, jar)


def _in_package_of(source: Path, helper: Path, scratch: Path) -> Path:
    """Return the helper in the source's package: code in a package cannot name an object outside of any."""
    package = _PACKAGE.search(source.read_text(encoding="utf-8"))
    if package is None:
        return helper
    moved = scratch / helper.name
    moved.write_text(
        f"package {package[1]}\n{helper.read_text(encoding='utf-8')}", encoding="utf-8"
    )
    return moved


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
