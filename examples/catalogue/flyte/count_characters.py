"""Steps whose number only the run knows, one for each letter of two words: Flyte's advanced_composition/dynamic_workflow.py."""

from __future__ import annotations

from collections import Counter

from kaon import Workflow, each, param, steps


def letters(first: str, second: str) -> list[str]:
    """Lists the letters of both words."""
    return sorted({*first.lower(), *second.lower()})


def common(letter: str, first: str, second: str) -> int:
    """Counts how often both words have a letter."""
    return min(Counter(word.lower())[letter] for word in (first, second))


def total(counts: list[int]) -> int:
    """Adds all counts up."""
    return sum(counts)


words = {"first": param("first", str), "second": param("second", str)}
found = steps.python("return-letters", letters, **words, outputs={"letters": list})
letter = each("letter", found["letters"])
count = steps.python("count-letter", common, letter=letter, **words, outputs={"count": int})
derived = steps.python("derive-count", total, counts=count["count"], outputs={"common": int})

workflow = Workflow(
    "count-characters", found >> count**letter >> derived, outputs={"common": derived["common"]}
)

EXPECTED = {
    "params": {"first": "Pear", "second": "Earth"},
    "outputs": {"common": 3},
    "count": {"count-letter": 6},
}
