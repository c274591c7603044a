"""What the language writes, the engine takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kaon import Part, Workflow
from kaon_wire.definitions.validate import validate

DOCS = Path(__file__).parents[2] / "docs" / "workflows.md"
PREAMBLE, *PIECES = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)


@pytest.mark.parametrize("piece", PIECES, ids=[piece.splitlines()[0][:40] for piece in PIECES])
def test_the_engine_accepts_what_the_documents_show(
    piece: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The workflow's directory, with the programs that its steps run.
    monkeypatch.chdir(tmp_path)
    for program in re.findall(r'argv=\["\./([a-z]+)"', PREAMBLE + piece):
        (tmp_path / program).touch(0o755)
    names: dict[str, object] = {}
    exec(compile(PREAMBLE + piece, "piece.py", "exec"), names)
    workflows = [value for value in names.values() if isinstance(value, Workflow)]
    if isinstance(body := names.get("body"), Part):
        workflows.append(Workflow("w", body, root=tmp_path))
    assert workflows
    for workflow in workflows:
        assert validate(workflow.definition()) == []
