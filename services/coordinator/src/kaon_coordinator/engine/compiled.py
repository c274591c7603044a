"""A definition, indexed once per version for fast decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kaonapi.workflow.v1 import definition_pb2 as d


@dataclass(frozen=True, kw_only=True)
class CompiledGraph:
    """One graph: its blocks by name in order of mention, and who waits for whom."""

    blocks: Mapping[str, d.Block]
    successors: Mapping[str, tuple[str, ...]]
    # How many predecessors each block has.
    in_degree: Mapping[str, int]
    # The graphs inside of each block, by name: "body" of a foreach or repeat; "0", "1", ... and "else" of a branch.
    inner: Mapping[str, Mapping[str, CompiledGraph]]


@dataclass(frozen=True, kw_only=True)
class CompiledWorkflow:
    """A workflow version, ready for decisions."""

    version: str
    definition: d.WorkflowDefinition
    root: CompiledGraph
    # For every block: the names of the blocks around it, outermost first, itself last.
    chains: Mapping[str, tuple[str, ...]]


def compile_workflow(definition: d.WorkflowDefinition, version: str) -> CompiledWorkflow:
    """Indexes a definition that has passed `validate`."""
    chains: dict[str, tuple[str, ...]] = {}
    root = _compile_graph(definition.body, (), chains)
    return CompiledWorkflow(version=version, definition=definition, root=root, chains=chains)


def inner_graphs(block: d.Block) -> Iterator[tuple[str, d.Graph]]:
    """The graphs inside of a block with their names."""
    match block.WhichOneof("kind"):
        case "for_each":
            yield "body", block.for_each.body
        case "repeat":
            yield "body", block.repeat.body
        case "branch":
            for index, case in enumerate(block.branch.cases):
                yield str(index), case.body
            if block.branch.HasField("otherwise"):
                yield "else", block.branch.otherwise


def _compile_graph(
    graph: d.Graph, around: tuple[str, ...], chains: dict[str, tuple[str, ...]]
) -> CompiledGraph:
    successors: dict[str, list[str]] = {block.name: [] for block in graph.blocks}
    in_degree = dict.fromkeys(successors, 0)
    for edge in graph.edges:
        successors[edge.source].append(edge.target)
        in_degree[edge.target] += 1
    inner: dict[str, dict[str, CompiledGraph]] = {}
    for block in graph.blocks:
        chain = (*around, block.name)
        chains[block.name] = chain
        inner[block.name] = {name: _compile_graph(body, chain, chains) for name, body in inner_graphs(block)}
    return CompiledGraph(
        blocks={block.name: block for block in graph.blocks},
        successors={name: tuple(targets) for name, targets in successors.items()},
        in_degree=in_degree,
        inner=inner,
    )
