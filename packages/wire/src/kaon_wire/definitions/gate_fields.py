"""What answers to approvals and payloads of signals consist of."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from kaon_wire import canonical
from kaon_wire.cel import nodes
from kaon_wire.cel.program import problem, program
from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.definitions.kinds import ANY
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
    if gate.HasField("signal") and gate.signal.where_cel:
        yield from _where_problems(name, gate.signal, checks)
    if gate.HasField("signal") and fields:
        yield from _payload_problems(name, gate, fields)
        if list(fields_of_signal(checks.names.definition, gate.signal.name)) != list(fields):
            yield f"{name}: another gate takes signal {gate.signal.name!r} with other fields"


def where_problems(cel: str, fields: Collection[str], params: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with the condition of a signal gate over `payload` and `params`.

    Args:
        cel: The condition.
        fields: The fields of the payload; none means that it may be any JSON.
        params: The parameters of the workflow.
    """
    payload = "map" if fields else ANY
    if fault := problem(cel, {"payload": payload, "params": "map"}):
        yield fault
        return
    tree = program(cel).tree
    if (kind := program(cel).kind({"payload": payload, "params": "map"})) not in ("bool", ANY):
        yield f"expression {cel!r}: it must be true or false, not {kind}"
    known = {"params": ("parameter", sorted(params)), "payload": ("field", sorted(fields))}
    for of, name in sorted(nodes.fields_of(tree)):
        noun, names = known.get(of, ("", []))
        if noun and name not in names and (noun == "parameter" or names):
            there = f"there are {', '.join(names)}" if names else "the workflow has none"
            yield f"expression {cel!r}: there is no {noun} {name!r}; {there}"


def _where_problems(name: str, gate: d.SignalGate, checks: Checks) -> Iterator[str]:
    params = [each.name for each in checks.names.definition.parameters]
    fields = [each.name for each in gate.fields]
    for wrong in where_problems(gate.where_cel, fields, params):
        yield f"{name}: where: {wrong}"


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
