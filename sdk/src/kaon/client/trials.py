"""Trials: the cells of a foreach with their hyper-parameters and metrics, compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kaon_wire import canonical
from kaon_wire.definitions.graphs import inner_graphs
from kaonapi.run.v1 import run_pb2, run_service_pb2
from kaonapi.workflow.v1 import definition_pb2 as d


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One cell of a foreach."""

    # Path of the cell and of its foreach.
    path: str
    block: str
    index: int
    # The item: of a sweep, the hyper-parameters by name.
    item: Any
    status: run_pb2.Status.ValueType
    # Newest value by name, of all steps of the cell.
    metrics: Mapping[str, float]

    @property
    def params(self) -> Mapping[str, Any]:
        """Return the item as values by name."""
        return self.item if isinstance(self.item, dict) else {"item": self.item}


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What the best trial is best at."""

    metric: str
    maximize: bool = False

    def rank(self, trial: Trial) -> tuple[bool, float]:
        """Return what orders trials, the best first; those without the metric come last."""
        value = trial.metrics.get(self.metric)
        if value is None or math.isnan(value):
            return True, 0.0
        return False, -value if self.maximize else value


def trials_of(found: run_service_pb2.GetRunResponse) -> list[Trial]:
    """Return the trials of a run that was asked for with its cells, in order of their creation."""
    metrics: dict[str, dict[str, float]] = {cell.path: {} for cell in found.cells}
    for step in found.steps:
        for around in _around(step.path):
            if around in metrics:
                metrics[around].update(step.metrics)
    return [
        Trial(
            path=cell.path,
            block=cell.block,
            index=cell.index,
            item=canonical.loads(cell.item_json),
            status=cell.status,
            metrics=metrics[cell.path],
        )
        for cell in found.cells
    ]


def objective_of(definition: d.WorkflowDefinition, block: str) -> Objective | None:
    """Return what a foreach stops its cells by; None when it stops none."""
    name = block.rsplit("/", 1)[-1]
    found = next((each for each in _blocks(definition.body) if each.name == name), None)
    if found is None or not found.for_each.HasField("early_stopping"):
        return None
    stopping = found.for_each.early_stopping
    return Objective(metric=stopping.metric, maximize=stopping.goal == d.GOAL_MAXIMIZE)


def _around(path: str) -> Iterable[str]:
    segments = path.split("/")
    return ("/".join(segments[:count]) for count in range(1, len(segments)))


def _blocks(graph: d.Graph) -> Iterable[d.Block]:
    for block in graph.blocks:
        yield block
        for _, inner in inner_graphs(block):
            yield from _blocks(inner)
