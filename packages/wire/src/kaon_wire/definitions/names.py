"""Names of workflows and blocks, and which block stands inside of which."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kaon_wire.definitions.graphs import inner_graphs
from kaon_wire.definitions.limits import DefinitionLimits
from kaonapi.workflow.v1 import definition_pb2 as d

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")


class Names:
    """What is called how in one definition. Filled by `collect_names`."""

    def __init__(self, definition: d.WorkflowDefinition) -> None:
        self.definition = definition
        self.parameters = {parameter.name for parameter in definition.parameters}
        # For every block: the names around it, itself last.
        self.chains: dict[str, tuple[str, ...]] = {}
        self.blocks: dict[str, d.Block] = {}


def collect_names(names: Names, limits: DefinitionLimits) -> Iterator[str]:
    """Fills `names`, and tells what is wrong with them."""
    if not NAME.match(names.definition.name):
        yield f"workflow name {names.definition.name!r}: use lower-case letters, digits and hyphens"
    yield from _collect(names, limits, names.definition.body, ())


def _collect(
    names: Names, limits: DefinitionLimits, graph: d.Graph, around: tuple[str, ...]
) -> Iterator[str]:
    if len(around) > limits.nesting_depth:
        yield f"{around[-1]}: nested deeper than the limit nesting_depth of {limits.nesting_depth}"
        return
    for block in graph.blocks:
        if not NAME.match(block.name):
            yield f"block name {block.name!r}: use lower-case letters, digits and hyphens"
        if block.name in names.chains:
            yield f"{block.name}: this name is used twice"
        chain = (*around, block.name)
        names.chains[block.name] = chain
        names.blocks[block.name] = block
        for _, inner in inner_graphs(block):
            yield from _collect(names, limits, inner, chain)
