"""The cells of a foreach from stored rows: what is drawn of a large run before its state has been read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kaon_coordinator.engine.definition.compiled import CompiledWorkflow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.view_reads import CellRows, ViewReads
from kaon_coordinator.view.cells import MOST_METRICS, CellLook, Look
from kaon_wire import canonical

# Steps that are looked at for the names of their metrics.
_SAMPLED = 500
_INDEX = re.compile(r'"index":(\d+)')


def can_show(look: Look, workflow: CompiledWorkflow) -> bool:
    """Tell whether rows alone show what is wanted: no metric, and the cell or a step that is directly in it."""
    return not look.metric and (not look.node or _is_step(workflow, look.node))


def _is_step(workflow: CompiledWorkflow, name: str) -> bool:
    graphs = [workflow.root]
    while graphs:
        graph = graphs.pop()
        if name in graph.blocks:
            return graph.blocks[name].HasField("step")
        graphs += [each for inner in graph.inner.values() for each in inner.values()]
    return False


def metrics_of(reads: ViewReads, run_id: str, block: str) -> list[str]:
    """Return the names of the metrics that cells have reported, as some of them tell."""
    names: set[str] = set()
    for data in reads.some_step_data(run_id, block, _SAMPLED):
        names.update(canonical.loads(data).get("metrics", ()))
    return sorted(names)[:MOST_METRICS]


def total_of(rows: CellRows) -> int:
    """Return how many items the foreach has."""
    count: int = canonical.loads(rows.data).get("total", 0)
    return count


def looks(rows: CellRows, look: Look) -> Iterator[CellLook]:
    """Yield one entry for each cell, in order of index, also for cells that have not begun."""
    begin = len(look.block)
    # By the end of a cell's key.
    ends: dict[str, int] = {}
    statuses: dict[int, int] = {}
    for key, status, data in rows.cells:
        if key.find("]", begin) == len(key) - 1:
            found = _INDEX.search(data)
            ends[key] = index = int(found[1]) if found else 0
            statuses[index] = status
    gathered: dict[int, list[tuple[Any, ...]]] = {}
    for row in rows.steps:
        cell = row[0][: row[0].index("]", begin) + 1]
        if not look.node or row[0] == f"{cell}/{look.node}":
            gathered.setdefault(ends[cell], []).append(row)
    for index in range(max(total_of(rows), len(statuses))):
        steps = gathered.get(index)
        if steps is not None:
            yield _gathered(index, steps, look, statuses[index])
        else:
            yield CellLook(index=index, status=0 if look.node else statuses.get(index, 0))


def _gathered(index: int, steps: list[tuple[Any, ...]], look: Look, status: int) -> CellLook:
    if look.node:
        ((path, own, attempt, ready_us, start_us, end_us),) = steps
        return CellLook(
            index=index,
            node_path=path,
            status=own,
            attempt=attempt,
            ready_us=ready_us,
            start_us=start_us,
            end_us=end_us,
        )
    if len(steps) == 1:
        ((_, _, attempt, ready_us, start_us, end_us),) = steps
        ended_us = end_us if status in t.TERMINAL else 0
        return CellLook(
            index=index,
            status=status,
            attempt=attempt,
            ready_us=ready_us,
            start_us=start_us,
            end_us=ended_us,
        )
    return CellLook(
        index=index,
        status=status,
        attempt=max(row[2] for row in steps),
        ready_us=min((row[3] for row in steps if row[3]), default=0),
        start_us=min((row[4] for row in steps if row[4]), default=0),
        end_us=max(row[5] for row in steps) if status in t.TERMINAL else 0,
    )
