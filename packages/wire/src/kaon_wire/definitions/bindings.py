"""Checks whether a binding can have a value in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kaon_wire.cel.program import problem
from kaon_wire.definitions.kinds import declared_outputs, kind_of
from kaon_wire.definitions.names import value_names
from kaon_wire.definitions.places import Checks, Place, json_problem
from kaonapi.workflow.v1 import definition_pb2 as d

_OF_STEPS = frozenset({d.OUTCOME_FIELD_EXIT_CODE, d.OUTCOME_FIELD_ATTEMPTS})


def binding_problems(binding: d.Binding, place: Place, what: str, checks: Checks) -> Iterator[str]:
    """Yield the problems of one binding; `what` names it."""
    source = binding.WhichOneof("source")
    if source is None:
        yield f"{what}: the binding is empty"
    elif source in _SOURCES:
        yield from _SOURCES[source](binding, place, what, checks)


def _literal(binding: d.Binding, place: Place, what: str, checks: Checks) -> Iterator[str]:
    yield from json_problem(what, binding.literal_json)


def _parameter(binding: d.Binding, place: Place, what: str, checks: Checks) -> Iterator[str]:
    if binding.parameter not in checks.names.parameters:
        yield f"{what}: the workflow has no parameter {binding.parameter!r}"


def _item(binding: d.Binding, place: Place, what: str, checks: Checks) -> Iterator[str]:
    items = {checks.names.blocks[name].for_each.item for name in place.chain}
    if binding.item not in items:
        yield f"{what}: no foreach around it has an item {binding.item!r}"


def _output(binding: d.Binding, place: Place, what: str, checks: Checks) -> Iterator[str]:
    yield from _reference(binding.output, what, checks)
    if binding.output.HasField("skipped_json"):
        yield from json_problem(f"{what}: value when skipped", binding.output.skipped_json)


def _last(binding: d.Binding, place: Place, what: str, checks: Checks) -> Iterator[str]:
    if not any(checks.names.blocks[name].HasField("repeat") for name in place.chain):
        yield f"{what}: last() is used outside of any repeat"
    yield from _reference(binding.last.output, what, checks)
    yield from binding_problems(binding.last.fallback, place, what, checks)


def _expression(binding: d.Binding, place: Place, what: str, checks: Checks) -> Iterator[str]:
    variables = binding.expression.variables
    kinds = {name: kind_of(each, place, checks) for name, each in variables.items()}
    if fault := problem(binding.expression.cel, kinds):
        yield f"{what}: {fault}"
    yield from value_names(f"{what}: variable", binding.expression.variables)
    for _, variable in sorted(binding.expression.variables.items()):
        yield from binding_problems(variable, place, what, checks)


def _list(binding: d.Binding, place: Place, what: str, checks: Checks) -> Iterator[str]:
    for each in binding.list.bindings:
        yield from binding_problems(each, place, what, checks)


def _map(binding: d.Binding, place: Place, what: str, checks: Checks) -> Iterator[str]:
    for key, each in sorted(binding.map.bindings.items()):
        yield from binding_problems(each, place, f"{what}[{key!r}]", checks)


def _outcome(binding: d.Binding, place: Place, what: str, checks: Checks) -> Iterator[str]:
    if not place.hook:
        yield f"{what}: outcome() is known only in on-failure and finally blocks"


def _block_outcome(binding: d.Binding, place: Place, what: str, checks: Checks) -> Iterator[str]:
    outcome = binding.block_outcome
    block = checks.names.blocks.get(outcome.block)
    if outcome.field == d.OUTCOME_FIELD_UNSPECIFIED:
        yield f"{what}: it does not say what of the outcome it wants"
    if block is None:
        yield f"{what}: the workflow has no block {outcome.block[:80]!r}"
    elif outcome.field in _OF_STEPS and not block.HasField("step"):
        yield f"{what}: only steps have exit codes and attempts, and {outcome.block!r} is none"


_SOURCES: dict[str, Callable[[d.Binding, Place, str, Checks], Iterator[str]]] = {
    "literal_json": _literal,
    "parameter": _parameter,
    "item": _item,
    "output": _output,
    "last": _last,
    "expression": _expression,
    "list": _list,
    "map": _map,
    "outcome": _outcome,
    "block_outcome": _block_outcome,
}


def _reference(reference: d.OutputReference, what: str, checks: Checks) -> Iterator[str]:
    block = checks.names.blocks.get(reference.step)
    outputs = declared_outputs(block) if block is not None else None
    if outputs is None:
        yield f"{what}: the workflow has no step, gate or sub-workflow {reference.step!r}"
    elif reference.output not in outputs:
        known = ", ".join(sorted(outputs)) or "none"
        yield f"{what}: step {reference.step!r} has no output {reference.output!r} (it has: {known})"
