"""Builds the site: `python -m docsite MERMAID`, with the path of mermaid.min.js. `make docs` calls it.

Pages and references are laid out in .kaon/docs/source and become HTML in .kaon/docs/site.
A broken link, or anything else that Sphinx warns of, fails the build.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import main as sphinx_build

from docsite import cli, errors, metrics, pages, protos, sdk, settings

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / ".kaon" / "docs"
_STATIC = Path(__file__).parent / "static"


def references(root: Path = ROOT) -> dict[str, str]:
    """The generated pages, by their paths without extension."""
    with tempfile.TemporaryDirectory() as scratch:
        packages = protos.pages(protos.load(root / "proto", Path(scratch)))
    return {
        "reference/sdk": sdk.page(),
        "reference/cli": cli.page(),
        "reference/settings": settings.page(),
        "reference/metrics": metrics.page(),
        "reference/errors": errors.page(root),
        **{f"reference/proto/{name}": text for name, text in sorted(packages.items())},
    }


def lay_out(source: Path, mermaid: Path | None) -> None:
    """Writes all that Sphinx reads.

    Raises:
        pages.BrokenLink: a page links to a file that is not there.
    """
    shutil.rmtree(source, ignore_errors=True)
    contents = pages.stage(ROOT, source)
    generated = references()
    for name, text in generated.items():
        path = source / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    contents["Reference"] = [name for name in generated if not name.startswith("reference/proto/")]
    contents["Protos"] = [name for name in generated if name.startswith("reference/proto/")]
    (source / "index.md").write_text(_index(contents), encoding="utf-8")
    decisions = source / "docs" / "decisions" / "README.md"
    decisions.write_text(decisions.read_text() + _toctree("", ["0*"], glob=True))
    shutil.copytree(_STATIC, source / "_static")
    if mermaid is not None:
        shutil.copy(mermaid, source / "_static" / "mermaid.min.js")


def _index(contents: dict[str, list[str]]) -> str:
    trees = [
        _toctree(heading, ["/" + name for name in names]) for heading, names in contents.items()
    ]
    return "```{include} README.md\n```\n" + "\n".join(trees)


def _toctree(caption: str, names: list[str], *, glob: bool = False) -> str:
    options = [":hidden:", ":glob:" if glob else "", f":caption: {caption}" if caption else ""]
    return "\n```{toctree}\n" + "\n".join([*filter(None, options), "", *names]) + "\n```\n"


def main() -> int:
    """Builds the site and tells where it is."""
    parser = argparse.ArgumentParser(
        prog="docsite", description="Builds the site of the documentation."
    )
    parser.add_argument("mermaid", type=Path, help="mermaid.min.js, which draws diagrams")
    source, site = OUTPUT / "source", OUTPUT / "site"
    try:
        lay_out(source, parser.parse_args().mermaid)
    except pages.BrokenLink as error:
        print(error, file=sys.stderr)
        return 1
    settings_of_sphinx = [
        "-c",
        str(Path(__file__).parent),
        "-D",
        f"html_static_path={source / '_static'}",
    ]
    options = [
        "--quiet",
        "--fail-on-warning",
        "--keep-going",
        "--doctree-dir",
        str(OUTPUT / "doctrees"),
    ]
    code = sphinx_build([*settings_of_sphinx, *options, "-b", "html", str(source), str(site)])
    if code == 0:
        print(f"the site is at {site}/index.html")
    return code


if __name__ == "__main__":
    sys.exit(main())
