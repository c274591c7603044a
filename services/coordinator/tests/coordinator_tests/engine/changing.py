"""Random changes of definitions: what people do to a workflow between two versions."""

from __future__ import annotations

import itertools
import random

from richer import graphs

from kaon_wire.definitions.validate import validate
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import step


def changed(definition: d.WorkflowDefinition, chance: random.Random) -> d.WorkflowDefinition:
    """A definition with other settings of steps, with steps and edges that are gone and steps that are new.

    A change that gives no valid definition is left out.
    """
    numbers = itertools.count()
    for _ in range(chance.randint(1, 4)):
        new = d.WorkflowDefinition()
        new.CopyFrom(definition)
        graph = chance.choice(list(graphs(new.body)))
        _CHANGES[chance.randrange(len(_CHANGES))](graph, chance, f"new-{next(numbers)}")
        if not validate(new):
            definition = new
    return definition


def _configure(graph: d.Graph, chance: random.Random, name: str) -> None:
    block = chance.choice(graph.blocks)
    if block.HasField("step"):
        block.step.config_json = '{"other":1}'


def _remove(graph: d.Graph, chance: random.Random, name: str) -> None:
    block = chance.choice(graph.blocks)
    _edges(graph, [edge for edge in graph.edges if block.name not in (edge.source, edge.target)])
    graph.blocks.remove(block)


def _remove_edge(graph: d.Graph, chance: random.Random, name: str) -> None:
    if graph.edges:
        graph.edges.remove(chance.choice(graph.edges))


def _add(graph: d.Graph, chance: random.Random, name: str) -> None:
    new = step(name)
    new.phase = chance.choice((d.PHASE_BODY, d.PHASE_BODY, d.PHASE_ON_FAILURE, d.PHASE_FINALLY))
    ends = [name, chance.choice(graph.blocks).name]
    chance.shuffle(ends)
    graph.blocks.append(new)
    if chance.random() < 0.7:
        _edges(graph, [*graph.edges, d.Edge(source=ends[0], target=ends[1])])


def _move(graph: d.Graph, chance: random.Random, name: str) -> None:
    chance.choice(graph.blocks).phase = chance.choice((d.PHASE_BODY, d.PHASE_FINALLY))


def _edges(graph: d.Graph, edges: list[d.Edge]) -> None:
    kept = sorted(edges, key=lambda edge: (edge.source, edge.target))
    del graph.edges[:]
    graph.edges.extend(kept)


_CHANGES = (_configure, _remove, _remove_edge, _add, _add, _move)
