"""Names of places in a run: a path such as `cycle#2/regions[US]/train`, its end, or the name of a block."""

from __future__ import annotations

import re

# The suffix that a cell adds to the name of its block.
_DECORATION = re.compile(r"\[[^\]]*\]|#\d+|=\w+")


def bare(segment: str) -> str:
    """Return a segment of a path without the suffix of a cell."""
    return _DECORATION.sub("", segment)


def names(path: str, written: str) -> bool:
    """Tell whether `written` is a path or its end; names of blocks stand for all of their cells."""
    theirs, given = path.rstrip("/").split("/"), written.rstrip("/").split("/")
    return len(given) <= len(theirs) and all(
        one in (segment, bare(segment))
        for one, segment in zip(given, theirs[len(theirs) - len(given) :], strict=True)
    )


def names_merely_a_cell(path: str, written: str) -> bool:
    """Tell whether the name denotes only the block of a cell, which is a place itself."""
    last = written.rstrip("/").rsplit("/", 1)[-1]
    mine = path.rsplit("/", 1)[-1]
    return bare(last) == last and (bare(mine) != mine or not mine)
