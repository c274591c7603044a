"""Builds the site: `python -m docsite MERMAID`, with the path of mermaid.min.js. `make docs` calls it.

Pages and references are laid out in .kaon/docs/source and become HTML in .kaon/docs/site. Notebooks are executed
against a coordinator in this process.
A broken link, or anything else that Sphinx warns of, fails the build.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from sphinx.cmd.build import main as sphinx_build

from docsite import cli, errors, limits, metrics, pages, protos, sdk, settings
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / ".kaon" / "docs"
_STATIC = Path(__file__).parent / "static"
# What the first page says of generated references where they are not; the site has links instead.
_GENERATED = re.compile(r"^- Command line, SDK, .*?\n(?=\n)", re.MULTILINE | re.DOTALL)
# Pages whose titles say too little beside others.
_TITLES = {"README": "What Kaon is, and a tour </README>"}
_PROTOS = """The gRPC API and the messages in Kafka, a page for each package.
`kaonapi.workflow.v1` has the definition of a workflow, `kaonapi.run.v1` runs, their commands and their history,
`kaonapi.model.v1` the registry of models.
"""


def references(root: Path = ROOT) -> dict[str, str]:
    """The generated pages, by their paths without extension."""
    with tempfile.TemporaryDirectory() as scratch:
        packages = protos.pages(protos.load(root / "proto", Path(scratch)))
    return {
        "reference/cli": cli.page(),
        "reference/sdk": sdk.page(),
        "reference/settings": settings.page(),
        "reference/limits": limits.page(root),
        "reference/errors": errors.page(root),
        "reference/metrics": metrics.page(),
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
    names = [name for name in generated if not name.startswith("reference/proto/")]
    contents["Reference"] = [*names, "reference/proto/index", *contents["Reference"]]
    (source / "reference" / "proto" / "index.md").write_text(_protos(generated), encoding="utf-8")
    first = _GENERATED.sub(_links(names), (source / "index.md").read_text(encoding="utf-8"))
    trees = (
        _toctree(heading, [_TITLES.get(name, "/" + name) for name in names])
        for heading, names in contents.items()
    )
    (source / "index.md").write_text(first + "".join(trees), encoding="utf-8")
    decisions = source / "docs" / "decisions" / "README.md"
    decisions.write_text(decisions.read_text() + _toctree("", ["0*"], glob=True))
    shutil.copytree(_STATIC, source / "_static")
    if mermaid is not None:
        shutil.copy(mermaid, source / "_static" / "mermaid.min.js")


def _links(names: list[str]) -> str:
    """Items of a list that lead to the generated references."""
    return "".join(f"- [](/{name}.md)\n" for name in [*names, "reference/proto/index"])


def _protos(generated: dict[str, str]) -> str:
    """The page that leads to the packages of protos."""
    names = [name.rsplit("/", 1)[-1] for name in generated if name.startswith("reference/proto/")]
    links = "".join(f"- [{name}]({name}.md)\n" for name in names)
    return f"# Protos\n\n{_PROTOS}\n{links}" + _toctree("", names)


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
    with (
        tempfile.TemporaryDirectory() as state,
        EmbeddedSystem(EmbeddedSettings(state=Path(state), slots=1)) as system,
    ):
        os.environ["KAON_SERVER"] = system.address
        code = sphinx_build([*settings_of_sphinx, *options, "-b", "html", str(source), str(site)])
    if code == 0:
        print(f"the site is at {site}/index.html")
    return code


if __name__ == "__main__":
    sys.exit(main())
