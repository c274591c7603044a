"""Parameters and outputs of a workflow."""

from __future__ import annotations

from collections.abc import Iterator

from kaon_wire.cel.program import problem
from kaon_wire.definitions.bindings import binding_problems
from kaon_wire.definitions.kinds import KINDS
from kaon_wire.definitions.names import value_names
from kaon_wire.definitions.places import Checks, Place, json_problem
from kaonapi.workflow.v1 import definition_pb2 as d


def parameter_problems(definition: d.WorkflowDefinition, checks: Checks) -> Iterator[str]:
    """Yield the problems of the declared parameters, and of the workflow's own numbers."""
    seen: set[str] = set()
    yield from value_names("parameter", (parameter.name for parameter in definition.parameters))
    for parameter in definition.parameters:
        what = f"parameter {parameter.name}"
        if parameter.name in seen:
            yield f"{what}: declared twice"
        seen.add(parameter.name)
        if parameter.HasField("default_json"):
            yield from json_problem(f"{what}: default", parameter.default_json)
        for choice in parameter.choices_json:
            yield from json_problem(f"{what}: choice", choice)
        if parameter.constraint_cel:
            kinds = {"value": KINDS.get(parameter.type, "any")}
            if fault := problem(parameter.constraint_cel, kinds):
                yield f"{what}: {fault}"
    if min(definition.timeout_ms, definition.deadline_ms, definition.max_active_runs) < 0:
        yield "workflow: timeout, deadline and max_active_runs must not be negative"
    if definition.strategy > d.SUBMIT_STRATEGY_PARALLEL and definition.max_active_runs:
        yield "workflow: max_active_runs belongs to the strategy parallel; by all others one run is active at once"


def output_problems(definition: d.WorkflowDefinition, checks: Checks) -> Iterator[str]:
    """Yield the problems of the workflow's outputs."""
    yield from value_names("output of the workflow", definition.outputs)
    for name, output in sorted(definition.outputs.items()):
        what = f"output {name!r} of the workflow"
        if output.type == d.VALUE_TYPE_UNSPECIFIED:
            yield f"{what} has no type"
        yield from binding_problems(output.value, Place(chain=(), hook=False), what, checks)
