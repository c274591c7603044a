"""Texts for people that messages, errors and commands share."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """Format a count with what is counted: "1 runner", "3 runners".

    Args:
        count: How many there are.
        one: What stands after 1: a noun, or a verb such as "is".
        many: What stands after every other number; empty: `one` with an "s".
    """
    return f"{count} {one if count == 1 else many or f'{one}s'}"
