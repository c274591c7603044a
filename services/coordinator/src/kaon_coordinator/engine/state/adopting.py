"""Puts the state of a fork under another version of its workflow."""

from __future__ import annotations

from collections.abc import Iterator

from kaon_coordinator.engine.definition.compiled import CompiledGraph, CompiledWorkflow
from kaon_coordinator.engine.state.bound_policies import keep
from kaon_coordinator.engine.state.counting import recount
from kaon_coordinator.engine.state.curves import Curves
from kaon_coordinator.engine.state.resetting import open_around, opening
from kaon_coordinator.engine.state.state import (
    BlockState,
    Node,
    RunState,
    ScopeState,
    add_node,
    drop_node,
)
from kaonapi.workflow.v1 import definition_pb2 as d


def adopt(state: RunState, workflow: CompiledWorkflow, now_us: int) -> None:
    """Fold a change of the definition: what does not fit was reset before.

    Nodes take the definitions of the new version and keep everything else. Nodes that it lacks are dropped, new
    ones are PENDING; a scope that had gone past their phase goes back to it.
    """
    state.workflow = workflow
    state.aim(state.targets)
    added = list(_graft(state, state.root, workflow.root))
    back = [(scope, phase) for scope, name in added if (phase := opening(scope, scope.graph, name))]
    open_around(state, back, now_us)
    for scope in sorted(state.scopes.values(), key=lambda each: -each.position):
        recount(scope)


def inner_graph(graph: CompiledGraph, block: BlockState) -> CompiledGraph | None:
    """Return the graph of a block's cells in a version; None when it has no such case."""
    return graph.inner[block.block.name].get(block.case if block.kind == "branch" else "body")


def is_replaced(node: Node, graph: CompiledGraph) -> bool:
    """Tell whether the block of this name in a version is of another kind or phase."""
    name = node.block.name
    new, was = graph.blocks[name], node.scope.graph.phases[name]
    return new.WhichOneof("kind") != node.block.WhichOneof("kind") or graph.phases[name] != was


def _graft(
    state: RunState, scope: ScopeState, graph: CompiledGraph
) -> Iterator[tuple[ScopeState, str]]:
    """Give a scope, and what is in it, the graph of the new version; return the nodes that are new in it."""
    if not scope.nodes:
        scope.graph = graph
        return
    for name, node in list(scope.nodes.items()):
        if name not in graph.blocks or is_replaced(node, graph):
            drop_node(state, node)
            del scope.nodes[name]
    scope.graph = graph
    for name, node in scope.nodes.items():
        _take(state, node, graph.blocks[name])
        if isinstance(node, BlockState):
            for cell in node.cells.values():
                yield from _graft(state, cell, inner_graph(graph, node) or cell.graph)
    for name, block in graph.blocks.items():
        if name not in scope.nodes:
            add_node(state, scope, name, block, state.take_position())
            yield scope, name


def _take(state: RunState, node: Node, block: d.Block) -> None:
    node.block = block
    if not isinstance(node, BlockState):
        node.spec = node.scope.graph.steps[block.name]
    if node.bound:
        keep(state, node)
    if not isinstance(node, BlockState):
        if node.spec.exclusive:
            node.grant_us = max(node.grant_us, state.grant_floor_us)
        return
    if not block.for_each.HasField("early_stopping"):
        node.curves = None
    elif not node.cells:
        node.curves = Curves(block.for_each.early_stopping)
