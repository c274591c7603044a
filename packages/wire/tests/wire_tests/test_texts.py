"""Counts and names in texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaon_wire.texts import clauses, counted, enumerated, meant

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 slots"), (1, "1 slot"), (2, "2 slots"), (11, "11 slots")]
)
def test_only_one_is_singular(count: int, text: str) -> None:
    assert counted(count, "slot") == text


def test_what_changes_with_the_number_can_be_a_verb() -> None:
    assert [counted(count, "rests", "rest") for count in (1, 2)] == ["1 rests", "2 rest"]


def test_of_many_names_the_first_are_told_and_how_many_more_there_are() -> None:
    assert enumerated("abcde") == "a, b, c, d, e"
    assert enumerated(iter("abcdefg"), 2) == "a, b and 5 more"
    assert enumerated([]) == "none"


def test_similar_names_are_told_once_each_and_only_if_there_are_any() -> None:
    assert meant("trian", ["train", "test", "train", "trains"]) == "did you mean train or trains?"
    assert meant("trian", ["train", "trains"], most=1) == "did you mean train?"
    assert meant("trian", ["score"]) == ""


def test_no_other_module_asks_whether_a_similar_name_was_meant() -> None:
    """One place decides how similar, how many and in which words."""
    askers = [
        str(path.relative_to(ROOT))
        for place in ("packages", "sdk", "services", "deploy")
        for path in (ROOT / place).rglob("src/**/*.py")
        if "get_close_matches" in path.read_text()
    ]
    assert askers == ["packages/wire/src/kaon_wire/texts.py"]


def test_clauses_are_listed_up_to_a_number() -> None:
    assert clauses(["a has failed"], 2) == "a has failed"
    assert clauses(["a has failed", "b too", "c", "d"], 2) == "a has failed; b too; and 2 more"
