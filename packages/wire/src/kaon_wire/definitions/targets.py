"""Which blocks of a workflow a run leaves out when its submitter names targets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kaon_wire.definitions.graphs import all_blocks, inner_graphs
from kaon_wire.texts import enumerated, meant
from kaonapi.run.v1 import run_pb2
from kaonapi.workflow.v1 import definition_pb2 as d


def problems(definition: d.WorkflowDefinition, targets: run_pb2.RunTargets) -> Iterator[str]:
    """Yield which targets name nothing in the workflow, each with similar names."""
    if not (targets.only or targets.until):
        # Walking a large definition would cost every submission milliseconds.
        return
    known = dict.fromkeys(block.name for block in all_blocks(definition.body))
    for option, names in (("only", targets.only), ("until", targets.until)):
        for name in names:
            if name not in known:
                hint = meant(name, known) or f"it has {enumerated(known)}"
                yield f"{option}: workflow {definition.name!r} has no step or block {name[:80]!r}; {hint}"


def left_out(definition: d.WorkflowDefinition, targets: run_pb2.RunTargets) -> frozenset[str]:
    """Return the names of the blocks that are skipped, those inside of skipped blocks not among them.

    What runs are the targets, with what is inside of them and what they are inside of; of `until` also all that comes
    before them. A block of a repeat stands for the whole repeat, whose condition needs its body. Hooks run as ever.
    """
    if not (targets.only or targets.until):
        return frozenset()
    return frozenset(_left_out(definition.body, set(targets.only), set(targets.until)))


def _left_out(graph: d.Graph, only: set[str], until: set[str]) -> Iterator[str]:
    holders = {block.name: block for block in graph.blocks if _holds(block, only | until)}
    kept = set(holders) | _before(graph, {name for name in holders if _holds(holders[name], until)})
    for block in graph.blocks:
        if block.phase in {d.PHASE_ON_FAILURE, d.PHASE_FINALLY}:
            continue
        if block.name not in kept:
            yield block.name
        elif _runs_in_part(graph, block, holders, only, until):
            for _, inner in inner_graphs(block):
                yield from _left_out(inner, only, until)


def _runs_in_part(
    graph: d.Graph, block: d.Block, holders: dict[str, d.Block], only: set[str], until: set[str]
) -> bool:
    """Tell whether a block runs for the sake of what is inside of it alone."""
    if block.name not in holders or block.name in only | until or block.HasField("repeat"):
        return False
    return not _comes_before(graph, block.name, holders, until)


def _holds(block: d.Block, names: set[str]) -> bool:
    return any(each.name in names for each in all_blocks(d.Graph(blocks=[block])))


def _comes_before(graph: d.Graph, name: str, holders: dict[str, d.Block], until: set[str]) -> bool:
    """Tell whether a block comes before another one that runs with all that is before it."""
    others = {other for other in holders if other != name and _holds(holders[other], until)}
    return name in _before(graph, others)


def _before(graph: d.Graph, names: Iterable[str]) -> set[str]:
    """Return all direct and indirect predecessors of blocks."""
    sources: dict[str, list[str]] = {}
    for edge in graph.edges:
        sources.setdefault(edge.target, []).append(edge.source)
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        for source in sources.get(waiting.pop(), ()):
            if source not in found:
                found.add(source)
                waiting.append(source)
    return found
