from __future__ import annotations

import re
from pathlib import Path

import pytest

from kaon_coordinator.engine import transitions as t

ARCHITECTURE = Path(__file__).parents[5] / "docs" / "architecture.md"


@pytest.mark.parametrize(("name", "table"), [("step", t.STEP), ("run", t.RUN)])
def test_the_documented_diagram_is_the_table(name: str, table: dict[t.Status, frozenset[t.Status]]) -> None:
    found = re.search(rf"<!-- begin {name} -->\n```mermaid\n(.*?)\n```", ARCHITECTURE.read_text(), re.DOTALL)
    assert found is not None
    assert found[1] == t.diagram(table)


def test_what_has_ended_never_changes() -> None:
    for table in (t.STEP, t.BLOCK, t.RUN):
        assert not t.TERMINAL & table.keys()


def test_an_illegal_transition_is_refused() -> None:
    with pytest.raises(t.IllegalTransition, match="SUCCEEDED -> STATUS_RUNNING"):
        t.check(t.STEP, "a", t.SUCCEEDED, t.RUNNING)
