"""Validates a definition before registration. All problems are reported at once, each with its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kaon_wire import bounds
from kaon_wire.definitions.blocks import block_problems
from kaon_wire.definitions.conditions import condition_problems
from kaon_wire.definitions.graphs import inner_graphs
from kaon_wire.definitions.limits import DEFAULT, DefinitionLimits
from kaon_wire.definitions.names import Names, collect_names
from kaon_wire.definitions.notifications import notification_problems
from kaon_wire.definitions.parameters import output_problems, parameter_problems
from kaon_wire.definitions.places import Checks, Place
from kaon_wire.definitions.policy_checks import workflow_problems
from kaon_wire.definitions.serving import serving_problems
from kaonapi.workflow.v1 import definition_pb2 as d

# Returns the syntax error of an expression over labels; empty when it can be parsed.
CheckLabel = Callable[[str], str]


# A message within a message, at the beginning of a field's path.
_INNER = re.compile(r"(?P<field>[a-z_]+)(?:\[(?P<index>[0-9]+)\])?\.")


# Start rules that mean nothing without predecessors.
_OVER_FAILURES = frozenset({d.TRIGGER_RULE_ANY_FAILED, d.TRIGGER_RULE_ALL_FAILED})

# Rules of hooks that start while a block before them goes on, in words.
_BESIDE = {
    d.TRIGGER_RULE_ANY_RUNNING: "runs",
    d.TRIGGER_RULE_ANY_RETRIED: "is retried",
    d.TRIGGER_RULE_ANY_LATE: "is late",
}


def accept_any(expression: str) -> str:
    """Leave the check of an expression to its evaluation."""
    return ""


def validate(
    definition: d.WorkflowDefinition,
    limits: DefinitionLimits = DEFAULT,
    check_label: CheckLabel = accept_any,
) -> list[str]:
    """Return the problems of a definition; empty when it is valid.

    Args:
        definition: The definition to register.
        limits: The engine's bounds.
        check_label: Returns the fault of an expression over runners' labels.
    """
    size = definition.ByteSize()
    if size > limits.definition_bytes:
        return [
            f"the definition has {size} bytes; the limit definition_bytes is {limits.definition_bytes}"
        ]
    names = Names(definition)
    problems = list(collect_names(names, limits))
    checks = Checks(names=names, limits=limits, label=check_label)
    problems += parameter_problems(definition, checks)
    problems += workflow_problems(definition, checks)
    problems += _graph_problems(definition.body, (), False, checks)
    problems += output_problems(definition, checks)
    problems += notification_problems(definition)
    return problems or [_located(definition, each.text) for each in bounds.violations(definition)]


def _located(definition: d.WorkflowDefinition, text: str) -> str:
    """Describe a violation with the name of the innermost block: "body.blocks[2].step.priority 9: ..."."""
    message: Any = definition
    block, rest = "", text
    while match := _INNER.match(rest):
        message = getattr(message, match["field"])
        if match["index"]:
            if isinstance(message, Mapping):
                break
            message = message[int(match["index"])]
        rest = rest[match.end() :]
        if isinstance(message, d.Block):
            block, text = message.name, rest
    return f"{block}: {text}" if block else text


def _graph_problems(
    graph: d.Graph, around: tuple[str, ...], hook: bool, checks: Checks
) -> Iterator[str]:
    """Yield the problems of a graph inside the blocks `around`; `hook`: it is part of a hook."""
    if len(around) > checks.limits.nesting_depth:
        return
    names = {block.name for block in graph.blocks}
    phases = {block.name: block.phase or d.PHASE_BODY for block in graph.blocks}
    place = around[-1] if around else "workflow"
    if d.PHASE_BODY not in phases.values():
        yield f"{place}: nothing to run"
    for edge in graph.edges:
        for name in (edge.source, edge.target):
            if name not in names:
                yield f"{place}: edge {edge.source} -> {edge.target}: no block {name!r} here"
        if {edge.source, edge.target} <= names and phases[edge.source] != phases[edge.target]:
            yield f"{place}: edge {edge.source} -> {edge.target} leads from one phase to another; hooks start by themselves"
    yield from _rule_problems(graph)
    yield from _hook_problems(graph)
    yield from serving_problems(graph)
    if _cyclic(graph):
        yield f"{place}: the blocks wait for one another in a circle"
    for block in graph.blocks:
        chain = (*around, block.name)
        in_hook = hook or phases[block.name] != d.PHASE_BODY
        yield from block_problems(block, Place(chain=chain, hook=in_hook), checks)
        for _, inner in inner_graphs(block):
            yield from _graph_problems(inner, chain, in_hook, checks)


def _rule_problems(graph: d.Graph) -> Iterator[str]:
    before: dict[str, list[str]] = {}
    for edge in graph.edges:
        before.setdefault(edge.target, []).append(edge.source)
    for block in graph.blocks:
        yield from condition_problems(block, before.get(block.name, ()))
        if block.trigger in _OVER_FAILURES and block.name not in before:
            yield f"{block.name}: it starts after failures of the blocks before it, and there are none"


def _hook_problems(graph: d.Graph) -> Iterator[str]:
    """Yield the problems of hooks that start while a block before them goes on."""
    blocks = {block.name: block for block in graph.blocks}
    before: dict[str, list[d.Block]] = {block.name: [] for block in graph.blocks}
    for edge in graph.edges:
        if edge.source in blocks and edge.target in blocks:
            before[edge.target].append(blocks[edge.source])
    for block in graph.blocks:
        if block.trigger not in _BESIDE:
            continue
        if not before[block.name]:
            yield f"{block.name}: it starts when a block before it {_BESIDE[block.trigger]}, and there is none"
        for other in before[block.name]:
            if block.trigger == d.TRIGGER_RULE_ANY_LATE:
                if not other.deadline_ms and "deadline_ms" not in other.bound:
                    yield f"{block.name}: it starts when {other.name} is late, and {other.name} has no deadline"
            elif not other.HasField("step"):
                yield f"{block.name}: it starts when {other.name} {_BESIDE[block.trigger]}, and that is no step"


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
