"""Names of workflows and blocks, and the nesting of blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kaon_wire.definitions.graphs import inner_graphs
from kaon_wire.definitions.limits import DefinitionLimits
from kaonapi.workflow.v1 import definition_pb2 as d

NAME = re.compile(r"(?=[a-z])(?=.{1,63}\Z)[a-z0-9-]+(?:\.[a-z0-9-]+)*\Z")
NAME_RULE = (
    "use lower-case letters, digits, hyphens and single dots, a letter first, at most 63 characters"
)
# Parameters, inputs, outputs, items, axes: they become variables of expressions, arguments of functions and
# file names.
VALUE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")
VALUE_NAME_RULE = "use letters, digits and underscores, no digit first, at most 63 characters"
# Pools are parts of topics' names.
POOL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
POOL_NAME_RULE = "use letters, digits, dots, hyphens and underscores, a letter or digit first, at most 63 characters"


class Names:
    """The names in one definition. Filled by `collect_names`."""

    def __init__(self, definition: d.WorkflowDefinition) -> None:
        self.definition = definition
        self.parameters = {parameter.name for parameter in definition.parameters}
        # For every block: the names of its enclosing blocks and its own, outermost first.
        self.chains: dict[str, tuple[str, ...]] = {}
        self.blocks: dict[str, d.Block] = {}


def value_names(what: str, names: Iterable[str]) -> Iterator[str]:
    """Yield the problems of names of values; `what` names their owner."""
    for name in sorted(names):
        if not VALUE_NAME.match(name):
            yield f"{what} {name[:80]!r}: {VALUE_NAME_RULE}"


def collect_names(names: Names, limits: DefinitionLimits) -> Iterator[str]:
    """Fill `names`, and yield their problems."""
    if not NAME.match(names.definition.name):
        yield f"workflow name {names.definition.name[:80]!r}: {NAME_RULE}"
    yield from _collect(names, limits, names.definition.body, ())


def _collect(
    names: Names, limits: DefinitionLimits, graph: d.Graph, around: tuple[str, ...]
) -> Iterator[str]:
    if len(around) > limits.nesting_depth:
        yield f"{around[-1]}: nested deeper than the limit nesting_depth of {limits.nesting_depth}"
        return
    for block in graph.blocks:
        if not NAME.match(block.name):
            yield f"block name {block.name[:80]!r}: {NAME_RULE}"
        if block.name in names.chains:
            yield f"{block.name}: this name is used twice"
        chain = (*around, block.name)
        names.chains[block.name] = chain
        names.blocks[block.name] = block
        for _, inner in inner_graphs(block):
            yield from _collect(names, limits, inner, chain)
