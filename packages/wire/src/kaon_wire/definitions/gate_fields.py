"""What answers to approvals and payloads of signals consist of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kaon_wire import canonical
from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.definitions.parameters import declaration_problems
from kaon_wire.definitions.places import Checks
from kaon_wire.errors import InvalidValue
from kaon_wire.value_types import fault, is_artifact, is_required
from kaonapi.workflow.v1 import definition_pb2 as d

# Outputs of every approval.
OF_APPROVALS = ("approved", "by", "comment")


def fields_of(gate: d.Gate) -> Sequence[d.Parameter]:
    """Return the fields of a gate."""
    return gate.approval.fields if gate.HasField("approval") else gate.signal.fields


def fields_of_signal(definition: d.WorkflowDefinition, name: str) -> Sequence[d.Parameter]:
    """Return the fields of the payload of a signal; all gates that take it have the same."""
    gates = (block.gate for block in all_blocks(definition.body))
    found = (gate.signal.fields for gate in gates if gate.signal.name == name)
    return next(filter(None, found), ())


def field_problems(block: d.Block, checks: Checks) -> Iterator[str]:
    """Yield the problems of a gate's fields."""
    gate, name = block.gate, block.name
    fields = fields_of(gate)
    yield from declaration_problems(fields, checks, f"{name}: field")
    for each in fields:
        if each.HasField("computed") or is_artifact(each.type):
            yield f"{name}: field {each.name}: it is no artifact, and its default is not computed"
        if gate.HasField("approval") and each.name in OF_APPROVALS:
            yield f"{name}: field {each.name}: every approval has an output of that name"
    defaults = gate.HasField("approval") and gate.on_timeout == d.GATE_TIMEOUT_DEFAULT
    if defaults and (missing := [each.name for each in fields if is_required(each)]):
        yield f"{name}: when its time is over it is approved, so {missing[0]} needs a default"
    if gate.HasField("signal") and fields:
        yield from _payload_problems(name, gate, fields)
        if list(fields_of_signal(checks.names.definition, gate.signal.name)) != list(fields):
            yield f"{name}: another gate takes signal {gate.signal.name!r} with other fields"


def _payload_problems(name: str, gate: d.Gate, fields: Sequence[d.Parameter]) -> Iterator[str]:
    if not gate.default_json:
        return
    try:
        payload = canonical.loads(gate.default_json)
    except InvalidValue:
        return  # the check of JSON has told it
    if not isinstance(payload, dict) or payload.keys() != {each.name for each in fields}:
        yield f"{name}: the default is an object with all fields: {', '.join(each.name for each in fields)}"
        return
    for each in fields:
        if problem := fault(payload[each.name], each):
            yield f"{name}: the default of field {each.name} {problem}"
