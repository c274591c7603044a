"""Adds to random definitions what came into the language after their generators: failure policies and further start rules.

It draws from a generator of its own, so that everything else of a seed stays as it was.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from kaon_wire.definitions.graphs import inner_graphs
from kaonapi.workflow.v1 import definition_pb2 as d

_RULES = (d.TRIGGER_RULE_ANY_FAILED, d.TRIGGER_RULE_ALL_FAILED, d.TRIGGER_RULE_ALWAYS)


def enrich(definition: d.WorkflowDefinition, seed: int) -> d.WorkflowDefinition:
    """Add policies and rules to a definition; about every second one stays as it is."""
    chance = random.Random(f"richer {seed}")
    if chance.random() < 0.5:
        return definition
    definition.on_error = _policy(chance)
    for graph in graphs(definition.body):
        targets = {edge.target for edge in graph.edges}
        for block in graph.blocks:
            block.optional = chance.random() < 0.15
            if block.name in targets and chance.random() < 0.25:
                block.trigger = chance.choice(_RULES)
            kind = block.WhichOneof("kind")
            if kind in {"group", "for_each"}:
                getattr(block, kind).on_error = _policy(chance)
    return definition


def _policy(chance: random.Random) -> d.OnError.ValueType:
    return chance.choice(d.OnError.values())


def graphs(graph: d.Graph) -> Iterator[d.Graph]:
    """Yield a graph and all graphs in it."""
    yield graph
    for block in graph.blocks:
        for _, inner in inner_graphs(block):
            yield from graphs(inner)
