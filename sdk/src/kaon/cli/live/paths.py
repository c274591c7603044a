"""Readable paths: `cycle#2/regions[US]/train`, `choose=0/small`."""

from __future__ import annotations

import re

# A cell of a foreach, iteration of a repeat or way of a branch ends its segment with one of these.
_CELL = re.compile(r"(.*?)(\[[^\]]*\]|#\d+|=[a-z0-9]+)")


def split(path: str) -> list[str]:
    """All paths on the way to `path`, itself last: "a#1/b" gives "a", "a#1", "a#1/b". A group's body is the group."""
    steps: list[str] = []
    prefix = ""
    for segment in path.rstrip("/").split("/"):
        cell = _CELL.fullmatch(segment)
        if cell:
            steps.append(prefix + cell[1])
        steps.append(prefix + segment)
        prefix = f"{prefix}{segment}/"
    return steps


def is_cell(path: str) -> bool:
    """Whether the path names a cell, iteration or way, not a block or step."""
    return _CELL.fullmatch(path.rsplit("/", 1)[-1]) is not None


def label(path: str) -> str:
    """Return the label of a node under its parent: its name, or the key of a cell."""
    segment = path.rsplit("/", 1)[-1]
    cell = _CELL.fullmatch(segment)
    if cell is None:
        return segment
    key = cell[2]
    return f"iteration {key[1:]}" if key[0] == "#" else key.strip("[]=")
