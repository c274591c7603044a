"""Counts of the cells of blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from kaon_coordinator.engine.state.paths import block_of_cell


def counted(
    cells: Iterable[tuple[str, int]], blocks: Collection[str]
) -> Mapping[str, Mapping[int, int]]:
    """Return how many cells each block has in each status.

    Args:
        cells: Path and status of each cell. They are read one by one.
        blocks: Paths of the blocks that are counted; cells of others are passed over.
    """
    counts: dict[str, Counter[int]] = {path: Counter() for path in blocks}
    for path, status in cells:
        if (found := counts.get(block_of_cell(path))) is not None:
            found[status] += 1
    return counts
