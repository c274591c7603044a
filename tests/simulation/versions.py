"""Other versions of a definition, as people make them between two runs."""

from __future__ import annotations

import random
from collections.abc import Iterator

from kaon_wire.definitions.graphs import inner_graphs
from kaon_wire.definitions.validate import validate
from kaonapi.workflow.v1 import definition_pb2 as d


def other_version(definition: d.WorkflowDefinition, chance: random.Random) -> d.WorkflowDefinition:
    """The definition with other settings of some steps, perhaps without a node, and with a copy of a step at the end of a body."""
    new = d.WorkflowDefinition()
    new.CopyFrom(definition)
    graphs = list(_graphs(new.body))
    for graph in graphs:
        for block in graph.blocks:
            if block.HasField("step") and chance.random() < 0.4:
                block.step.priority += 1
                block.step.config_json = '{"version":2}'
    graph = chance.choice(graphs)
    plain = [block for block in graph.blocks if block.HasField("step") and not block.step.inputs]
    if plain:
        last = graph.blocks.add()
        last.CopyFrom(chance.choice(plain))
        last.name = "added"
    if chance.random() < 0.3:
        smaller = d.WorkflowDefinition()
        smaller.CopyFrom(new)
        gone = chance.choice(smaller.body.blocks).name
        kept = [edge for edge in smaller.body.edges if gone not in (edge.source, edge.target)]
        blocks = [block for block in smaller.body.blocks if block.name != gone]
        smaller.body.CopyFrom(d.Graph(blocks=blocks, edges=kept))
        if blocks and not validate(smaller):
            return smaller
    return definition if validate(new) else new


def _graphs(graph: d.Graph) -> Iterator[d.Graph]:
    yield graph
    for block in graph.blocks:
        for _, inner in inner_graphs(block):
            yield from _graphs(inner)
