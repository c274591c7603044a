"""What a browser must load before the first page stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kaon_console.settings import BUILT_PAGES

# Bytes by gzip: scripts and styles without fonts, of which a browser takes those whose letters stand in the page.
FIRST_PAGE = 251_000
EVERYTHING = 700_000
_ASSETS = BUILT_PAGES / "assets"
_LOADED = re.compile(r"/assets/([\w.-]+\.(?:js|css))")
# Vite lists the files of all later parts once, and names what each part needs by number.
_FILES = re.compile(r"m\.f=\[(.*?)\]")
_NEEDS = r"import\(.\./{page}-[\w-]+\.js.\).*?__vite__mapDeps\(\[([\d,]*)\]\)"

pytestmark = pytest.mark.skipif(
    not (BUILT_PAGES / "index.html").is_file(),
    reason="the console's page is not built (make setup builds it, with Node.js)",
)


def page_files(page: str) -> set[str]:
    """Return all files that a page needs before it stands, by the name of its module."""
    first = set(_LOADED.findall((BUILT_PAGES / "index.html").read_text(encoding="utf-8")))
    (entry,) = (name for name in first if name.startswith("index-") and name.endswith(".js"))
    text = (_ASSETS / entry).read_text(encoding="utf-8")
    listed, needs = _FILES.search(text), re.search(_NEEDS.format(page=page), text)
    assert listed is not None
    assert needs is not None
    files = re.findall(r"assets/([\w.-]+)", listed[1])
    return first | {files[int(number)] for number in needs[1].split(",")}


def compressed(name: str) -> int:
    """Return how many bytes a file has by gzip."""
    return (_ASSETS / f"{name}.gz").stat().st_size


def test_the_list_of_runs_comes_with_few_bytes() -> None:
    files = page_files("RunsPage")
    assert {Path(name).suffix for name in files if name.startswith("RunsPage-")} == {".js", ".css"}
    sizes = {name: compressed(name) for name in files}
    assert sum(sizes.values()) <= FIRST_PAGE, sorted(sizes.items(), key=lambda each: -each[1])


def test_the_whole_page_comes_with_few_bytes() -> None:
    files: list[Path] = [*_ASSETS.glob("*.js"), *_ASSETS.glob("*.css")]
    assert sum(compressed(each.name) for each in files) <= EVERYTHING
