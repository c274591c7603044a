"""Pages as the site lays them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from docsite import pages, text
from docsite.__main__ import ROOT


def test_links_between_the_pages_of_the_repository_lead_to_files(tmp_path: Path) -> None:
    contents = pages.stage(ROOT, tmp_path)
    laid_out = [page for group in contents.values() for page in group]
    assert "docs/workflows" in laid_out
    # A notebook is a page, too.
    found = [list(tmp_path.glob(f"{page}.*")) for page in laid_out]
    assert all(place.suffix in (".md", ".ipynb") for places in found for place in places)
    assert all(found)


def test_every_page_of_the_repository_is_on_the_site(tmp_path: Path) -> None:
    pages.stage(ROOT, tmp_path)
    folders = [folder for folder in ROOT.iterdir() if not folder.name.startswith(".")]
    written = {path for folder in [*folders, ROOT] for path in folder.glob("*.md")}
    written |= {
        path
        for folder in folders
        for path in folder.rglob("*.md")
        if "node_modules" not in path.parts
    }
    places = {path: tmp_path / pages.place_of(str(path.relative_to(ROOT))) for path in written}
    assert {path for path, place in places.items() if not place.is_file()} == set()


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "docs").mkdir(parents=True)
    (repository / "README.md").write_text(
        "[one](docs/one.md) [two](docs/two.md#here) [web](https://example.org/x)\n"
    )
    (repository / "docs" / "one.md").write_text("[back](../README.md) and [gone](gone.py)\n")
    with pytest.raises(pages.BrokenLink, match=r"docs/two\.md"):
        pages.stage(repository, tmp_path / "site")


def test_what_a_page_links_to_is_copied_beside_it(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "docs").mkdir(parents=True)
    (repository / "README.md").write_text("[code](docs/run.py) [docs](docs/)\n")
    (repository / "docs" / "run.py").write_text("pass\n")
    (repository / "docs" / "README.md").write_text("# Docs\n")
    pages.stage(repository, tmp_path / "site")
    assert (tmp_path / "site" / "docs" / "run.py").read_text() == "pass\n"
    assert "[docs](index.md)" in (tmp_path / "site" / "README.md").read_text()


def test_the_first_page_lies_at_the_top_with_its_links(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "docs").mkdir(parents=True)
    (repository / "README.md").write_text("# Kaon\n")
    (repository / "docs" / "workflows.md").write_text("[all](README.md#how-to)\n")
    (repository / "docs" / "README.md").write_text("[one](workflows.md) [two](../README.md)\n")
    pages.stage(repository, tmp_path / "site")
    first = (tmp_path / "site" / "index.md").read_text()
    assert first == "[one](docs/workflows.md) [two](README.md)\n"
    assert "[all](../index.md#how-to)" in (tmp_path / "site/docs/workflows.md").read_text()


def test_a_link_that_shows_a_files_name_shows_its_title_on_the_site(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "docs").mkdir(parents=True)
    (repository / "README.md").write_text("[docs/one.md](docs/one.md#two) and [one](docs/one.md)\n")
    (repository / "docs" / "one.md").write_text("# The first page\n")
    pages.stage(repository, tmp_path / "site")
    shown = (tmp_path / "site" / "README.md").read_text()
    assert shown == "[The first page](docs/one.md#two) and [one](docs/one.md)\n"


def test_docstrings_become_markdown() -> None:
    docstring = """Waits for <name> and *args.

        code(as, it="is")

    Args:
        name: which one, such as `a[0]`,
            over two lines.

    Raises:
        NotFound: it is not there.
    """
    assert text.prose(docstring).splitlines() == [
        r"Waits for \<name> and \*args.",
        "",
        '    code(as, it="is")',
        "",
        "",
        "**Args**",
        "",
        "- `name`: which one, such as `a[0]`,",
        "  over two lines.",
        "",
        "",
        "**Raises**",
        "",
        "- `NotFound`: it is not there.",
    ]
