"""Texts for people that messages, errors and commands share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

# Names that a text lists.
_LISTED = 5


def counted(count: int, one: str, many: str = "") -> str:
    """Format a count with what is counted: "1 runner", "3 runners".

    Args:
        count: How many there are.
        one: What stands after 1: a noun, or a verb such as "is".
        many: What stands after every other number; empty: `one` with an "s".
    """
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def similar(
    name: str, known: Iterable[str], *, most: int = 3, cutoff: float = 0.6
) -> Sequence[str]:
    """Return the names that are most similar to one, the most similar first; see `meant`."""
    return difflib.get_close_matches(name, list(dict.fromkeys(known)), most, cutoff)


def meant(name: str, known: Iterable[str], *, most: int = 3, cutoff: float = 0.6) -> str:
    """Return the question whether similar names were meant: "did you mean a or b?"; empty where none is similar.

    Args:
        name: As it was written.
        known: The names that there are.
        most: How many are told at most.
        cutoff: From 0 to 1, how similar they are at least (see `difflib.get_close_matches`).
    """
    near = similar(name, known, most=most, cutoff=cutoff)
    return f"did you mean {' or '.join(near)}?" if near else ""


def enumerated(names: Iterable[str], most: int = _LISTED) -> str:
    """Return the first names, and how many more there are: "a, b and 7 more"; "none" where there are none."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return f"{', '.join(every[:most]) or 'none'}{more}"


def clauses(every: Sequence[str], most: int) -> str:
    """Return the first clauses, and how many more there are: "a has failed; b was skipped; and 7 more"."""
    more = [f"and {len(every) - most} more"] if len(every) > most else []
    return "; ".join([*every[:most], *more])
