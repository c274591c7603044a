"""Which code counts for the memo of a step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kaon import Workflow, WorkflowError
from kaon_wire.definitions.graphs import all_blocks

FLOW = """
from kaon import Memo, Workflow, steps
import prepare

def alone():
    return {"n": 1}

workflow = Workflow(
    "w",
    steps.python("clean", prepare.clean, memo=Memo(code=%s), outputs={"n": int})
    >> steps.python("alone", alone, outputs={"n": int})
    >> steps.shell("show", ["cat", "a.sql"], memo=True),
)
"""


@pytest.fixture
def memo_of(project: Path, build: Callable[[str], Workflow]) -> Callable[..., str]:
    """Returns the digest of the code on which the step `clean` depends."""
    (project / "prepare.py").write_text(
        "import deeper\n\ndef clean():\n    return {'n': deeper.VALUE}\n"
    )
    (project / "deeper.py").write_text("VALUE = 1\n")
    (project / "a.sql").write_text("SELECT 1")

    def digest(code: str = "[]") -> str:
        body = build(FLOW % code).definition().body
        blocks = {block.name: block.step for block in all_blocks(body)}
        assert not blocks["alone"].memo.code_digest
        assert not blocks["show"].memo.code_digest
        return blocks["clean"].memo.code_digest

    return digest


def test_edits_elsewhere_keep_a_memo_and_edits_of_what_is_imported_do_not(
    project: Path, memo_of: Callable[..., str]
) -> None:
    first = memo_of()
    assert first.startswith("sha256:")
    (project / "note.txt").write_text("a note")
    (project / "other.py").write_text("x = 1")
    (project / "a.sql").write_text("SELECT 2")
    assert memo_of() == first
    (project / "deeper.py").write_text("VALUE = 2\n")
    second = memo_of()
    assert second != first
    (project / "prepare.py").write_text("def clean():\n    return {'n': 3}\n")
    assert memo_of() not in (first, second)


def test_files_that_a_memo_names_count(project: Path, memo_of: Callable[..., str]) -> None:
    first = memo_of('["*.sql"]')
    assert first != memo_of()
    (project / "a.sql").write_text("SELECT 2")
    assert memo_of('["*.sql"]') != first


@pytest.mark.parametrize(
    ("code", "told"),
    [('["*.R"]', "no such file"), ('"a.sql"', "list of patterns"), ("[1]", "list of patterns")],
)
def test_a_memo_that_names_nothing_is_refused(
    memo_of: Callable[..., str], code: str, told: str
) -> None:
    with pytest.raises(WorkflowError, match=told):
        memo_of(code)
