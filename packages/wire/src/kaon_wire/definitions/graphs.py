"""Graphs inside blocks."""

from __future__ import annotations

from collections.abc import Iterator

from kaonapi.workflow.v1 import definition_pb2 as d


def all_blocks(graph: d.Graph) -> Iterator[d.Block]:
    """Yield every block of a graph at any depth, outer blocks first."""
    for block in graph.blocks:
        yield block
        for _, body in inner_graphs(block):
            yield from all_blocks(body)


def inner_graphs(block: d.Block) -> Iterator[tuple[str, d.Graph]]:
    """Yield the graphs inside a block with their names."""
    match block.WhichOneof("kind"):
        case "for_each":
            yield "body", block.for_each.body
        case "repeat":
            yield "body", block.repeat.body
        case "group":
            yield "body", block.group.body
        case "branch":
            for index, case in enumerate(block.branch.cases):
                yield str(index), case.body
            if block.branch.HasField("otherwise"):
                yield "else", block.branch.otherwise
