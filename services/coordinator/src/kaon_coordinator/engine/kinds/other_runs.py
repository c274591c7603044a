"""Takes the outputs of another run into a block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from kaon_coordinator.engine.decision import Decision, user_error
from kaon_coordinator.engine.definition.compiled import floats_of
from kaon_coordinator.engine.scopes.scopes import end_block
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import typed
from kaon_coordinator.engine.state.state import BlockState
from kaon_wire import canonical, value_types
from kaonapi.workflow.v1 import definition_pb2 as d

# What declares outputs of another run.
Taker: TypeAlias = d.SubWorkflow | d.RunGate


def taken_from(
    decision: Decision, block: BlockState, taker: Taker, given: Mapping[str, str], run_id: str
) -> dict[str, str] | None:
    """Return the wanted outputs of a run with their types; end the block and return None when the run gave others."""
    problem = mismatch(taker, given)
    if problem:
        text = f"{block.path}: run {run_id} gave {problem}"
        end_block(decision, block, t.FAILED, user_error("OutputMismatch", text))
        return None
    return declared(taker, given)


def mismatch(taker: Taker, given: Mapping[str, str]) -> str:
    """Return what is wrong with the outputs of a run, after "gave"; empty when they are those that are declared."""
    missing = sorted(set(taker.outputs) - set(given))
    if missing:
        return f"no output {', '.join(missing)}"
    for name in sorted(taker.output_contents):
        shape = _shape(taker, name)
        if problem := value_types.fault(canonical.loads(given[name]), shape):
            return (
                f"an output {name} other than it is declared, {value_types.name_of(shape)}: it "
                f"{problem}"
            )
    return ""


def declared(taker: Taker, given: Mapping[str, str]) -> dict[str, str]:
    """Return the wanted ones of the outputs of a run, with their types."""
    found = typed(floats_of(taker.outputs), {name: given[name] for name in taker.outputs})
    for name in taker.output_contents:
        value = value_types.declared(canonical.loads(found[name]), _shape(taker, name))
        found[name] = canonical.dumps(value)
    return found


def _shape(taker: Taker, name: str) -> d.Shape:
    return d.Shape(type=taker.outputs[name], of=taker.output_contents[name])
