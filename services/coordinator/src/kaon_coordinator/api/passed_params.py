"""Checks, at registration, that the parameters that a workflow passes on fit the sub-workflows that are registered."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.definitions.passing import passing_problems, wanted_by
from kaonapi.workflow.v1 import definition_pb2 as d

# Returns the workflow of a sub-workflow block; None when it is not registered yet.
Called = Callable[[d.SubWorkflow], d.WorkflowDefinition | None]

_NAMES = {number: name.removeprefix("VALUE_TYPE_").lower() for name, number in d.ValueType.items()}


def passed_problems(definition: d.WorkflowDefinition, called: Called) -> Iterator[str]:
    """Yield the problems of the blocks that pass the workflow's parameters on. Blocks."""
    own = {each.name: each.type for each in definition.parameters}
    for block in all_blocks(definition.body):
        spec = block.sub_workflow
        child = called(spec) if spec.pass_params else None
        if child is None:
            continue
        for problem in passing_problems(set(spec.params), own, wanted_by(child), _NAMES):
            yield f"{block.name}: workflow {spec.workflow!r}: {problem}"
