"""Checks a definition before it is registered. All problems are told at once, each with the place that it concerns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from kaon_coordinator.engine.compiled import inner_graphs
from kaon_coordinator.engine.limits import DEFAULT, Limits
from kaon_wire import canonical
from kaon_wire.errors import KaonError
from kaonapi.workflow.v1 import definition_pb2 as d

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")


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
    checker = _Checker(definition, limits, check_expression, check_label)
    return list(checker.problems())


class _Checker:
    def __init__(
        self,
        definition: d.WorkflowDefinition,
        limits: Limits,
        check_expression: CheckExpression,
        check_label: CheckExpression,
    ) -> None:
        self._definition = definition
        self._limits = limits
        self._check_expression = check_expression
        self._check_label = check_label
        self._parameters = {parameter.name for parameter in definition.parameters}
        # For every block: the names around it, itself last. Filled while names are checked.
        self._chains: dict[str, tuple[str, ...]] = {}
        self._blocks: dict[str, d.Block] = {}

    def problems(self) -> Iterator[str]:
        size = self._definition.ByteSize()
        if size > self._limits.definition_bytes:
            yield f"the definition has {size} bytes; the limit definition_bytes is {self._limits.definition_bytes}"
            return
        yield from self._names()
        yield from self._graph(self._definition.body, ())

    def _names(self) -> Iterator[str]:
        if not _NAME.match(self._definition.name):
            yield f"workflow name {self._definition.name!r}: use lower-case letters, digits and hyphens"
        for parameter in self._definition.parameters:
            if parameter.HasField("default_json"):
                yield from _json_problem(f"parameter {parameter.name}: default", parameter.default_json)
        yield from self._block_names(self._definition.body, ())

    def _block_names(self, graph: d.Graph, around: tuple[str, ...]) -> Iterator[str]:
        if len(around) > self._limits.nesting_depth:
            yield f"{around[-1]}: nested deeper than the limit nesting_depth of {self._limits.nesting_depth}"
            return
        for block in graph.blocks:
            if not _NAME.match(block.name):
                yield f"block name {block.name!r}: use lower-case letters, digits and hyphens"
            if block.name in self._chains:
                yield f"{block.name}: this name is used twice"
            chain = (*around, block.name)
            self._chains[block.name] = chain
            self._blocks[block.name] = block
            for _, inner in inner_graphs(block):
                yield from self._block_names(inner, chain)

    def _graph(self, graph: d.Graph, around: tuple[str, ...]) -> Iterator[str]:
        names = {block.name for block in graph.blocks}
        place = around[-1] if around else "workflow"
        if not names:
            yield f"{place}: nothing to run"
        for edge in graph.edges:
            for name in (edge.source, edge.target):
                if name not in names:
                    yield f"{place}: edge {edge.source} -> {edge.target}: no block {name!r} here"
        if _cyclic(graph):
            yield f"{place}: the blocks wait for one another in a circle"
        for block in graph.blocks:
            yield from self._block(block, (*around, block.name))

    def _block(self, block: d.Block, chain: tuple[str, ...]) -> Iterator[str]:
        match block.WhichOneof("kind"):
            case "step":
                yield from self._step(block.name, block.step, chain)
            case "for_each":
                yield from self._binding(block.for_each.items, chain[:-1], f"{block.name}: items")
                if block.for_each.max_concurrency < 0:
                    yield f"{block.name}: max_concurrency must not be negative"
            case "repeat":
                yield from self._binding(block.repeat.until, chain, f"{block.name}: until")
                if not 1 <= block.repeat.max_iterations <= self._limits.iterations:
                    yield f"{block.name}: max_iterations must be from 1 to {self._limits.iterations}"
            case "branch":
                for index, case in enumerate(block.branch.cases):
                    yield from self._binding(case.condition, chain[:-1], f"{block.name}: condition {index}")
            case None:
                yield f"{block.name}: neither a step nor a foreach, repeat or branch"
        for _, inner in inner_graphs(block):
            yield from self._graph(inner, chain)

    def _step(self, name: str, step: d.Step, chain: tuple[str, ...]) -> Iterator[str]:
        if not step.type:
            yield f"{name}: a step needs a type"
        if step.config_json:
            yield from _json_problem(f"{name}: config", step.config_json)
        if step.timeout_ms < 0 or step.retry.max_attempts < 0 or step.retry.backoff_ms < 0:
            yield f"{name}: timeout, attempts and back-off must not be negative"
        for label in step.labels:
            if problem := self._check_label(label):
                yield f"{name}: label {label!r}: {problem}"
        for output, kind in sorted(step.outputs.items()):
            if kind == d.VALUE_TYPE_UNSPECIFIED:
                yield f"{name}: output {output!r} has no type"
        for input_name, binding in sorted(step.inputs.items()):
            yield from self._binding(binding, chain[:-1], f"{name}: input {input_name!r}")

    def _binding(self, binding: d.Binding, around: tuple[str, ...], place: str) -> Iterator[str]:
        match binding.WhichOneof("source"):
            case "literal_json":
                yield from _json_problem(place, binding.literal_json)
            case "parameter":
                if binding.parameter not in self._parameters:
                    yield f"{place}: the workflow has no parameter {binding.parameter!r}"
            case "item":
                items = {self._blocks[name].for_each.item for name in around}
                if binding.item not in items:
                    yield f"{place}: no foreach around it has an item {binding.item!r}"
            case "output":
                yield from self._reference(binding.output, place)
            case "last":
                if not any(self._blocks[name].HasField("repeat") for name in around):
                    yield f"{place}: last() stands outside of every repeat"
                yield from self._reference(binding.last.output, place)
                yield from self._binding(binding.last.fallback, around, place)
            case "expression":
                if problem := self._check_expression(binding.expression.cel):
                    yield f"{place}: {problem}"
                for _, variable in sorted(binding.expression.variables.items()):
                    yield from self._binding(variable, around, place)
            case "list":
                for each in binding.list.bindings:
                    yield from self._binding(each, around, place)
            case None:
                yield f"{place}: the binding is empty"

    def _reference(self, reference: d.OutputReference, place: str) -> Iterator[str]:
        block = self._blocks.get(reference.step)
        if block is None or not block.HasField("step"):
            yield f"{place}: the workflow has no step {reference.step!r}"
        elif reference.output not in block.step.outputs:
            known = ", ".join(sorted(block.step.outputs)) or "none"
            yield f"{place}: step {reference.step!r} has no output {reference.output!r} (it has: {known})"


def _json_problem(place: str, text: str) -> Iterator[str]:
    try:
        canonical.loads(text)
    except KaonError as error:
        yield f"{place}: {error}"


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
