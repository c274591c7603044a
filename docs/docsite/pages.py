"""The pages that people write, laid out for the site as they lie in the repository, so that their links hold."""

from __future__ import annotations

import posixpath
import re
import shutil
from pathlib import Path

# The page from which the site's first page is made: it leads to the four kinds of pages.
INDEX = "docs/README.md"
# Where pages are, in the order of the site's contents. A pattern takes its files in alphabetical order.
CONTENTS: dict[str, tuple[str, ...]] = {
    "Tutorial": ("docs/tutorial/*.md", "README.md"),
    "How-to guides": (
        "docs/workflows.md",
        "docs/sdk.md",
        "docs/steps.md",
        "docs/coming-from/*.md",
        "docs/catalogue.md",
        "docs/console.md",
        "docs/notifications.md",
        "docs/operations.md",
        "docs/security.md",
        "docs/closing.md",
        "docs/lines.md",
        "docs/alerts.md",
        "docs/observability.md",
        "docs/add-a-step-type.md",
        "examples/README.md",
        "examples/*/README.md",
        "examples/*/*.ipynb",
    ),
    "Reference": (
        "docs/step-types.md",
        "docs/model-format.md",
        "docs/view.md",
        "docs/glossary.md",
    ),
    "Explanation": (
        "docs/comparison.md",
        "docs/architecture.md",
        "docs/scheduling.md",
        "docs/performance.md",
        "docs/simulation.md",
        "docs/decisions/README.md",
    ),
    "The project": (
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "sdk/README.md",
        "packages/*/README.md",
        "services/*/README.md",
        "services/*/*/README.md",
        "benchmarks/README.md",
        "deploy/*/README.md",
    ),
}
# Pages that others list.
_LISTED = ("docs/decisions/[0-9]*.md",)
_LINK = re.compile(r"(?<!!)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)]*)?\)")
# A link that shows the name of a file: the site shows the page's title.
_NAMED = re.compile(r"\[((?:[\w.-]+/)*[\w-]+\.md)\]\(([^)#\s]+\.md)(?=[)#])")
_TITLE = re.compile(r"^# (.*)$", re.MULTILINE)


class BrokenLink(Exception):
    """A page names a file that is not there, or that is no part of the repository's text."""


def stage(repository: Path, target: Path) -> dict[str, list[str]]:
    """Copies the pages and the files that they link to, and returns the pages by heading, as paths without extension.

    Raises:
        BrokenLink: a link leads nowhere; all of them are named.
    """
    contents = {heading: _matching(repository, patterns) for heading, patterns in CONTENTS.items()}
    pages = [
        *_matching(repository, (INDEX,)),
        *(page for group in contents.values() for page in group),
        *_matching(repository, _LISTED),
    ]
    problems: list[str] = []
    for page in dict.fromkeys(pages):
        text, problem = _with_links(repository, page, target)
        problems += problem
        _write(target / place_of(page), text)
    if problems:
        raise BrokenLink("\n".join(problems))
    return {
        heading: [posixpath.splitext(page)[0] for page in group]
        for heading, group in contents.items()
    }


def place_of(page: str) -> str:
    """Where a page of the repository lies on the site: where it lies in the repository, and the first one at the top."""
    return "index.md" if page == INDEX else page


def _matching(repository: Path, patterns: tuple[str, ...]) -> list[str]:
    found = [
        str(path.relative_to(repository))
        for pattern in patterns
        for path in sorted(repository.glob(pattern))
    ]
    return list(dict.fromkeys(found))


def _with_links(repository: Path, page: str, target: Path) -> tuple[str, list[str]]:
    """The page's text with its links as they are on the site, and what is wrong with them."""
    problems = []

    def checked(match: re.Match[str]) -> str:
        named = posixpath.normpath(posixpath.join(posixpath.dirname(page), match[1]))
        if (repository / named).is_dir() and (repository / named / "README.md").is_file():
            named += "/README.md"
        place = repository / named
        if not place.is_file():
            problems.append(f"{page}: {match[1]} is not there")
        elif place.suffix != ".md":
            copy = target / place.resolve().relative_to(repository)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place, copy)
        link = posixpath.relpath(place_of(named), posixpath.dirname(place_of(page)) or ".")
        return f"]({link}{match[2] or ''})"

    text = _NAMED.sub(
        lambda match: f"[{_title(repository / page, match)}]({match[2]}",
        (repository / page).read_text(encoding="utf-8"),
    )
    return _LINK.sub(checked, text), problems


def _title(page: Path, link: re.Match[str]) -> str:
    """The title of the page that a link leads to; the link's text where it leads nowhere."""
    target = page.parent / link[2]
    title = _TITLE.search(target.read_text(encoding="utf-8")) if target.is_file() else None
    return title[1] if title else link[1]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
