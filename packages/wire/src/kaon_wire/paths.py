"""How people name what is in a run: by a path such as `cycle#2/regions[US]/train`, by its end, or by the name of a block."""

from __future__ import annotations

import re

# The suffix that a cell adds to the name of its block.
_DECORATION = re.compile(r"\[[^\]]*\]|#\d+|=\w+")


def bare(segment: str) -> str:
    """Return a segment of a path without what a cell adds to it."""
    return _DECORATION.sub("", segment)


def names(path: str, written: str) -> bool:
    """Tell whether `written` is a path or its end; the names of blocks stand for all of their cells."""
    theirs, given = path.rstrip("/").split("/"), written.rstrip("/").split("/")
    return len(given) <= len(theirs) and all(
        one in (segment, bare(segment))
        for one, segment in zip(given, theirs[len(theirs) - len(given) :], strict=True)
    )


def names_merely_a_cell(path: str, written: str) -> bool:
    """Tell whether the path is a cell's and only the block around it was named, which is a place of its own."""
    last = written.rstrip("/").rsplit("/", 1)[-1]
    mine = path.rsplit("/", 1)[-1]
    return bare(last) == last and (bare(mine) != mine or not mine)
