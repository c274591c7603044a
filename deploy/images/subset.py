"""Prints the part of requirements.lock that some projects of this repository need, hashes included.

    python subset.py services/step-runner[hive,spark] +matplotlib > requirements.txt
    python subset.py services/step-runner[hive,r] --without services/step-runner[hive] > requirements.txt
    python subset.py --ours services/step-runner

What the words after --without need is left out. With --ours it prints the directories of the projects of this repository that
belong to it instead. A word is a project's directory with the extras wanted, or `+name` for one more package. Standard library
only: it runs inside image builds, before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_ENTRY = re.compile(r"^([a-zA-Z0-9._-]+)(?:\[[^\]]*\])?==")
_REQUIREMENT = re.compile(r"^([a-zA-Z0-9._-]+)(?:\[([^\]]*)\])?")
# Where projects of this repository are.
_PROJECTS = ("packages/*", "sdk", "services/*")
_PROJECT = re.compile(r"^(.+?)(?:\[([^\]]*)\])?$")


@dataclass(frozen=True, kw_only=True)
class Locked:
    """One package of the lock."""

    # Its lines, as they are.
    text: str
    # Names of the packages that ask for it.
    via: frozenset[str]


def read_lock(text: str) -> dict[str, Locked]:
    """The packages of a lock that `uv pip compile` wrote, by name."""
    blocks: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if match := _ENTRY.match(line):
            name = normal(match[1])
            # One package may stand there twice, for different versions of Python.
            blocks.setdefault(name, [])
        if name:
            blocks[name].append(line)
    return {
        name: Locked(text="\n".join(lines), via=frozenset(_via(lines)))
        for name, lines in blocks.items()
    }


def _via(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        comment = line.strip()
        if comment.startswith("#"):
            word = comment.removeprefix("#").strip().removeprefix("via").strip()
            if word and not word.startswith("-r"):
                yield normal(word)


def closure(lock: Mapping[str, Locked], roots: Iterable[str]) -> list[str]:
    """The roots and everything they ask for, directly or not, in the lock's order.

    Raises:
        KeyError: a root is not in the lock.
    """
    wanted = {normal(root) for root in roots}
    if missing := wanted - lock.keys():
        raise KeyError(f"requirements.lock has no {', '.join(sorted(missing))}")
    while more := {
        name for name, entry in lock.items() if name not in wanted and entry.via & wanted
    }:
        wanted |= more
    return [name for name in lock if name in wanted]


def roots_of(words: Iterable[str], repository: Path) -> tuple[set[str], set[str]]:
    """The packages that the projects ask for, and the directories of this repository's own among them, which are looked through."""
    paths = [path for pattern in _PROJECTS for path in repository.glob(f"{pattern}/pyproject.toml")]
    ours = {_project(path)["name"]: path.parent for path in paths}
    waiting, seen, roots, found = list(words), set[str](), set[str](), set[str]()
    while waiting:
        word = waiting.pop()
        if word in seen:
            continue
        seen.add(word)
        if word.startswith("+"):
            roots.add(word[1:])
            continue
        match = _PROJECT.match(word)
        assert match is not None
        found.add(match[1])
        for requirement in _requirements(repository / match[1], match[2] or ""):
            parts = _REQUIREMENT.match(requirement)
            assert parts is not None
            if parts[1] in ours:
                extras = f"[{parts[2]}]" if parts[2] else ""
                waiting.append(f"{ours[parts[1]].relative_to(repository)}{extras}")
            else:
                roots.add(parts[1])
    return roots, found


def _requirements(directory: Path, extras: str) -> list[str]:
    project = _project(directory / "pyproject.toml")
    found = list(project.get("dependencies", ()))
    for extra in filter(None, extras.split(",")):
        found += project["optional-dependencies"][extra]
    return found


def _project(path: Path) -> dict:  # type: ignore[type-arg]
    return tomllib.loads(path.read_text(encoding="utf-8"))["project"]  # type: ignore[no-any-return]


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    repository = Path(__file__).resolve().parents[2]
    if sys.argv[1] == "--ours":
        print("\n".join(sorted(roots_of(sys.argv[2:], repository)[1])))
        return
    lock = read_lock((repository / "requirements.lock").read_text(encoding="utf-8"))
    words = sys.argv[1:]
    there = words.index("--without") if "--without" in words else len(words)
    left_out = set(closure(lock, roots_of(words[there + 1 :], repository)[0]))
    for name in closure(lock, roots_of(words[:there], repository)[0]):
        if name not in left_out:
            print(lock[name].text)


if __name__ == "__main__":
    main()
