"""Checks a definition before it is registered. All problems are told at once, each with the place that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kaon_coordinator.engine.compiled import BODY, inner_graphs
from kaon_coordinator.engine.limits import DEFAULT, Limits
from kaon_coordinator.engine.validating.blocks import block_problems
from kaon_coordinator.engine.validating.names import Names, collect_names
from kaon_coordinator.engine.validating.parameters import output_problems, parameter_problems
from kaon_coordinator.engine.validating.places import Checks, Place
from kaon_wire import bounds
from kaonapi.workflow.v1 import definition_pb2 as d

# What is wrong with the form of an expression; empty when it can be parsed.
CheckExpression = Callable[[str], str]


def accept_any(expression: str) -> str:
    """Leaves an expression's form to its evaluation."""
    return ""


def validate(
    definition: d.WorkflowDefinition,
    limits: Limits = DEFAULT,
    check_expression: CheckExpression = accept_any,
    check_label: CheckExpression = accept_any,
) -> list[str]:
    """The problems of a definition; empty when it can be run.

    Args:
        definition: what is to be registered.
        limits: the engine's bounds.
        check_expression: says what is wrong with a CEL expression.
        check_label: says what is wrong with an expression over runners' labels.
    """
    size = definition.ByteSize()
    if size > limits.definition_bytes:
        return [f"the definition has {size} bytes; the limit definition_bytes is {limits.definition_bytes}"]
    names = Names(definition)
    problems = list(collect_names(names, limits))
    checks = Checks(names=names, limits=limits, expression=check_expression, label=check_label)
    problems += parameter_problems(definition, checks)
    problems += _graph_problems(definition.body, (), False, checks)
    problems += output_problems(definition, checks)
    return problems or [each.text for each in bounds.violations(definition)]


def _graph_problems(graph: d.Graph, around: tuple[str, ...], hook: bool, checks: Checks) -> Iterator[str]:
    """The problems of a graph inside of the blocks `around`; `hook`: it stands in a hook."""
    if len(around) > checks.limits.nesting_depth:
        return
    names = {block.name for block in graph.blocks}
    phases = {block.name: block.phase or BODY for block in graph.blocks}
    place = around[-1] if around else "workflow"
    if BODY not in phases.values():
        yield f"{place}: nothing to run"
    for edge in graph.edges:
        for name in (edge.source, edge.target):
            if name not in names:
                yield f"{place}: edge {edge.source} -> {edge.target}: no block {name!r} here"
        if {edge.source, edge.target} <= names and phases[edge.source] != phases[edge.target]:
            yield f"{place}: edge {edge.source} -> {edge.target} leads from one phase to another; hooks start by themselves"
    if _cyclic(graph):
        yield f"{place}: the blocks wait for one another in a circle"
    for block in graph.blocks:
        chain = (*around, block.name)
        in_hook = hook or phases[block.name] != BODY
        yield from block_problems(block, Place(chain=chain, hook=in_hook), checks)
        for _, inner in inner_graphs(block):
            yield from _graph_problems(inner, chain, in_hook, checks)


def _cyclic(graph: d.Graph) -> bool:
    waiting = {block.name: 0 for block in graph.blocks}
    targets: dict[str, list[str]] = {name: [] for name in waiting}
    for edge in graph.edges:
        if edge.source in waiting and edge.target in waiting:
            waiting[edge.target] += 1
            targets[edge.source].append(edge.target)
    free = [name for name, count in waiting.items() if count == 0]
    passed = 0
    while free:
        passed += 1
        for target in targets[free.pop()]:
            waiting[target] -= 1
            if waiting[target] == 0:
                free.append(target)
    return passed < len(waiting)
