"""Policies of a node that were known only when it began: the node has the block of the definition with its values in it."""

from __future__ import annotations

from collections.abc import Mapping

from kaon_coordinator.engine.definition.compiled import compile_step
from kaon_coordinator.engine.state.state import NOTHING, Node, RunState, StepState, named
from kaon_wire.definitions.policies import applied

# Different values that are kept for a workflow, so that cells with equal ones share their blocks.
_KEPT = 256


def give(state: RunState, node: Node, values: Mapping[str, str]) -> None:
    """Give a node its policies: canonical JSON by the path of the field."""
    node.bound = named(values)
    kept, name = state.workflow.bound, node.block.name
    key = (name, *sorted(values.items()))
    found = kept.get(key)
    if found is None:
        block = applied(node.scope.graph.blocks[name], values)
        if len(kept) >= _KEPT:
            kept.clear()
        found = kept[key] = (block, compile_step(block) if block.HasField("step") else None)
    node.block = found[0]
    if isinstance(node, StepState) and found[1] is not None:
        node.spec = found[1]


def give_run(state: RunState, values: Mapping[str, str]) -> None:
    """Give a run the workflow's own policies that are known only now."""
    state.bound = named(values)


def take_back(node: Node) -> None:
    """Make the policies of a node unknown again."""
    if not node.bound:
        return
    node.bound = NOTHING
    graph, name = node.scope.graph, node.block.name
    node.block = graph.blocks[name]
    if isinstance(node, StepState):
        node.spec = graph.steps[name]


def keep(state: RunState, node: Node) -> None:
    """Give a node, which is under another version now, those of its policies that this version binds, too."""
    bound = node.block.bound
    values = {field: text for field, text in node.bound.items() if field in bound}
    node.bound = NOTHING
    if values:
        give(state, node, values)
