"""Counts in texts."""

from __future__ import annotations

import pytest

from kaon_wire.texts import counted


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 slots"), (1, "1 slot"), (2, "2 slots"), (11, "11 slots")]
)
def test_only_one_is_singular(count: int, text: str) -> None:
    assert counted(count, "slot") == text


def test_what_changes_with_the_number_can_be_a_verb() -> None:
    assert [counted(count, "rests", "rest") for count in (1, 2)] == ["1 rests", "2 rest"]
