"""The pages that people write, laid out for the site as they lie in the repository, so that their links hold."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

# Where pages are, in the order of the site's contents. A pattern takes its files in alphabetical order.
CONTENTS: dict[str, tuple[str, ...]] = {
    "Use": (
        "docs/workflows.md",
        "docs/sdk.md",
        "docs/steps.md",
        "docs/console.md",
        "docs/view.md",
        "examples/README.md",
        "examples/*/README.md",
    ),
    "Operate": (
        "docs/operations.md",
        "docs/closing.md",
        "docs/lines.md",
        "docs/observability.md",
        "docs/scheduling.md",
        "docs/performance.md",
        "deploy/*/README.md",
    ),
    "Understand": (
        "docs/architecture.md",
        "docs/glossary.md",
        "docs/simulation.md",
        "docs/decisions/README.md",
    ),
    "Packages": (
        "sdk/README.md",
        "packages/*/README.md",
        "services/*/README.md",
        "services/*/*/README.md",
        "benchmarks/README.md",
    ),
    "Project": ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"),
}
# Pages that others list.
_LISTED = ("docs/decisions/[0-9]*.md",)
_LINK = re.compile(r"(?<!!)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)]*)?\)")


class BrokenLink(Exception):
    """A page names a file that is not there, or that is no part of the repository's text."""


def stage(repository: Path, target: Path) -> dict[str, list[str]]:
    """Copies the pages and the files that they link to, and returns the pages by heading, as paths without extension.

    Raises:
        BrokenLink: a link leads nowhere; all of them are named.
    """
    contents = {heading: _matching(repository, patterns) for heading, patterns in CONTENTS.items()}
    pages = [
        "README.md",
        *(page for group in contents.values() for page in group),
        *_matching(repository, _LISTED),
    ]
    problems: list[str] = []
    for page in dict.fromkeys(pages):
        text, problem = _with_links(repository, page, target)
        problems += problem
        _write(target / page, text)
    if problems:
        raise BrokenLink("\n".join(problems))
    return {
        heading: [page.removesuffix(".md") for page in group] for heading, group in contents.items()
    }


def _matching(repository: Path, patterns: tuple[str, ...]) -> list[str]:
    found = [
        str(path.relative_to(repository))
        for pattern in patterns
        for path in sorted(repository.glob(pattern))
    ]
    return list(dict.fromkeys(found))


def _with_links(repository: Path, page: str, target: Path) -> tuple[str, list[str]]:
    """The page's text with links to directories made links to their pages, and what is wrong with its links."""
    problems = []

    def checked(match: re.Match[str]) -> str:
        place = (repository / page).parent / match[1]
        if place.is_dir():
            place /= "README.md"
            if place.is_file():
                return f"]({match[1].rstrip('/')}/README.md{match[2] or ''})"
        if not place.is_file():
            problems.append(f"{page}: {match[1]} is not there")
        elif place.suffix != ".md":
            copy = target / place.resolve().relative_to(repository)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place, copy)
        return match[0]

    return _LINK.sub(checked, (repository / page).read_text(encoding="utf-8")), problems


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
