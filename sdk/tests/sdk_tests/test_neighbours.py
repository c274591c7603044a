"""Workflows of several directories may be loaded in one process, whatever their files are called."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from kaon import load_workflow
from kaon.dsl.errors import WorkflowError

_WORKFLOW = """
from kaon import Workflow, steps
from neighbour_fit import fit

workflow = Workflow("w", steps.python("fit", fit))
"""


@pytest.fixture(autouse=True)
def _leaves_no_module(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("neighbour_fit", "neighbours_workflow"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.delitem(sys.modules, name)


def _written(directory: Path, parameter: str) -> Path:
    directory.mkdir()
    (directory / "neighbour_fit.py").write_text(f"def fit({parameter}: int = 1) -> None: ...\n")
    file = directory / "neighbours_workflow.py"
    file.write_text(_WORKFLOW)
    return file


def test_each_workflow_imports_what_lies_beside_it(tmp_path: Path) -> None:
    for parameter in ("first", "second"):
        workflow = load_workflow(_written(tmp_path / parameter, parameter))
        found = sys.modules["neighbour_fit"].__file__
        assert found == str(tmp_path / parameter / "neighbour_fit.py")
        assert workflow.definition().body.blocks[0].name == "fit"


def test_what_a_workflow_does_not_import_stays(tmp_path: Path) -> None:
    load_workflow(_written(tmp_path / "first", "x"))
    known = sys.modules["neighbour_fit"]
    file = _written(tmp_path / "second", "y")
    file.write_text(
        "from kaon import Workflow, steps\nworkflow = Workflow('w', steps.shell('s', ['true']))\n"
    )
    load_workflow(file)
    assert sys.modules["neighbour_fit"] is known


def test_a_file_that_fails_leaves_the_modules_as_they_were(tmp_path: Path) -> None:
    load_workflow(_written(tmp_path / "first", "x"))
    known = sys.modules["neighbour_fit"]
    file = _written(tmp_path / "second", "y")
    file.write_text("raise ValueError('no')\n")
    with pytest.raises(WorkflowError, match="no"):
        load_workflow(file)
    assert sys.modules["neighbour_fit"] is known
