"""The code that the documents show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kaon import Part, Workflow
from kaon.cli.main import app

DOCS = Path(__file__).parents[3] / "docs"
PREAMBLE, *PIECES = re.findall(
    r"```python\n(.*?)```", (DOCS / "workflows.md").read_text(), re.DOTALL
)


@pytest.mark.parametrize("piece", PIECES, ids=[piece.splitlines()[0][:40] for piece in PIECES])
def test_a_piece_of_code_in_the_documents_builds(
    piece: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for program in re.findall(r'argv=\["\./([a-z]+)"', PREAMBLE + piece):
        (tmp_path / program).touch(0o755)
    names: dict[str, object] = {}
    exec(compile(PREAMBLE, "preamble.py", "exec"), names)
    before = set(names)
    exec(compile(piece, "piece.py", "exec"), names)
    bodies = [
        value
        for name, value in names.items()
        if name in ("body", "same") and isinstance(value, Part)
    ]
    made = [Workflow("w", body, root=tmp_path) for body in bodies]
    made += [
        value for name, value in names.items() if name not in before and isinstance(value, Workflow)
    ]
    assert made
    assert len({workflow.version for workflow in made if workflow.name == "w"}) <= 1


def test_the_documents_name_every_command() -> None:
    from typer.main import get_command

    text = (DOCS / "workflows.md").read_text() + (DOCS.parent / "README.md").read_text()
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert {name for name in commands if f"kaon {name}" not in text} == set()
