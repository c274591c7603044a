"""The kinds of values that bindings have, as far as they are known before a run."""

from __future__ import annotations

from collections.abc import Mapping

from kaon_wire import canonical
from kaon_wire.cel import values
from kaon_wire.cel.errors import CelError
from kaon_wire.cel.program import program
from kaon_wire.definitions.places import Checks, Place
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d

ANY = "any"
# The output that tells which run a block has begun or taken: a sub-workflow that is not waited for, a gate that waits for a run.
RUN_ID = "run_id"
# Of every declared type; artifacts are maps.
KINDS: Mapping[int, str] = {
    d.VALUE_TYPE_STRING: "string",
    d.VALUE_TYPE_INT: "int",
    d.VALUE_TYPE_FLOAT: "double",
    d.VALUE_TYPE_BOOL: "bool",
    d.VALUE_TYPE_LIST: "list",
    d.VALUE_TYPE_MAP: "map",
    d.VALUE_TYPE_ANY: ANY,
    d.VALUE_TYPE_DATE: "string",
    d.VALUE_TYPE_DATETIME: "timestamp",
    d.VALUE_TYPE_DURATION: "duration",
    d.VALUE_TYPE_FILE: "map",
    d.VALUE_TYPE_DATASET: "map",
    d.VALUE_TYPE_MODEL: "map",
    d.VALUE_TYPE_METRICS: "map",
    d.VALUE_TYPE_PLOT: "map",
    d.VALUE_TYPE_TABLE: "map",
    d.VALUE_TYPE_TEXT: "map",
}
_GATE_OUTPUTS = {
    "approval": ("approved", "by", "comment"),
    "signal": ("by", "payload"),
    "timer": (),
}


def kind_of(binding: d.Binding, place: Place, checks: Checks) -> str:
    """Return the kind of a binding's value; "any" when it is not known."""
    match binding.WhichOneof("source"):
        case "literal_json":
            return _literal(binding.literal_json)
        case "parameter":
            declared = {each.name: each for each in checks.names.definition.parameters}
            parameter = declared.get(binding.parameter)
            return ANY if parameter is None else kind_of_parameter(parameter)
        case "output":
            return _output(binding.output, place, checks)
        case "expression":
            return _expression(binding.expression, place, checks)
        case "list":
            return "list"
        case "map" | "outcome" | "run_info":
            return "map"
    return ANY


def kind_of_parameter(parameter: d.Parameter) -> str:
    """Return the kind of a parameter's values; "any" when null is one of them."""
    return ANY if parameter.optional else KINDS.get(parameter.type, ANY)


def _literal(text: str) -> str:
    try:
        kind = values.kind_of(canonical.loads(text))
    except InvalidValue:
        return ANY
    # A null stands for a value that may be there otherwise.
    return ANY if kind == "null" else kind


def _output(reference: d.OutputReference, place: Place, checks: Checks) -> str:
    inwards = set(checks.names.chains.get(reference.step, ())) - set(place.chain)
    if any(checks.names.blocks[name].HasField("for_each") for name in inwards):
        return "list"
    block = checks.names.blocks.get(reference.step, d.Block())
    match block.WhichOneof("kind"):
        case "step":
            types: Mapping[str, int] = block.step.outputs
        case "sub_workflow":
            types = block.sub_workflow.outputs
        case "gate" if block.gate.HasField("run"):
            types = block.gate.run.outputs
        case "gate":
            types = {each.name: each.type for each in block.gate.approval.fields}
        case _:
            return ANY
    return KINDS.get(types.get(reference.output, d.VALUE_TYPE_ANY), ANY)


def _expression(expression: d.Expression, place: Place, checks: Checks) -> str:
    kinds = {name: kind_of(each, place, checks) for name, each in expression.variables.items()}
    try:
        return program(expression.cel).kind(kinds)
    except CelError:
        return ANY


def declared_outputs(block: d.Block) -> tuple[str, ...] | None:
    """Return the outputs of a step, gate or sub-workflow block; None for other blocks."""
    match block.WhichOneof("kind"):
        case "step":
            return tuple(block.step.outputs)
        case "gate" if block.gate.HasField("run"):
            return (*block.gate.run.outputs, RUN_ID)
        case "gate":
            fields = tuple(each.name for each in block.gate.approval.fields)
            return _GATE_OUTPUTS.get(block.gate.WhichOneof("kind") or "", ()) + fields
        case "sub_workflow":
            return tuple(block.sub_workflow.outputs)
    return None
