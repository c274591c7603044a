"""The page about the SDK, executed as it is printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem

ROOT = Path(__file__).resolve().parents[4]
EXAMPLE = ROOT / "examples" / "notebook"


def blocks(heading: str) -> list[str]:
    """The Python code under a heading of the page."""
    text = (ROOT / "docs" / "sdk.md").read_text()
    (part,) = (each for each in text.split("\n## ") if each.startswith(heading))
    return re.findall(r"```python\n(.*?)```", part, re.DOTALL)


def test_the_code_for_notebooks_runs_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in EXAMPLE.glob("*.py"):
        (tmp_path / file.name).write_text(file.read_text())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "notebook"}
    with EmbeddedSystem(EmbeddedSettings(state=tmp_path / "state", slots=1)) as system:
        monkeypatch.setenv("KAON_SERVER", system.address)
        for block in blocks("In a notebook"):
            exec(compile(block, "sdk.md", "exec"), names)
        shown = names["run"]._repr_html_()
        names["client"].close()
    printed = capsys.readouterr().out
    assert "SUCCEEDED" in printed
    assert "epoch 5: rmse" in printed
    assert (names["last"]["path"], names["last"]["step"]) == ("fit", 5)
    assert "slope" in names["path"].read_text()
    assert "<td style='text-align:left'>fit</td>" in shown
