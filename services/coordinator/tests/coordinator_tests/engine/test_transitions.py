from __future__ import annotations

import re
from pathlib import Path

import pytest

from kaon_coordinator.engine.state import transitions as t

ARCHITECTURE = Path(__file__).parents[5] / "docs" / "architecture.md"


@pytest.mark.parametrize(("name", "table"), [("step", t.STEP), ("block", t.BLOCK), ("run", t.RUN)])
def test_the_documented_diagram_is_the_table(
    name: str, table: dict[t.Status, frozenset[t.Status]]
) -> None:
    found = re.search(
        rf"<!-- begin {name} -->\s+```mermaid\n(.*?)\n```", ARCHITECTURE.read_text(), re.DOTALL
    )
    assert found is not None
    assert found[1] == t.diagram(table)


def test_what_has_ended_changes_only_when_it_is_reset() -> None:
    for table, again in (
        (t.STEP, {t.PENDING}),
        (t.BLOCK, {t.PENDING, t.RUNNING}),
        (t.RUN, {t.PENDING, t.RUNNING}),
    ):
        for status in t.TERMINAL & table.keys():
            assert table[status] <= again


def test_an_illegal_transition_is_refused() -> None:
    with pytest.raises(t.IllegalTransition, match="SUCCEEDED -> STATUS_RUNNING"):
        t.check(t.STEP, "a", t.SUCCEEDED, t.RUNNING)
