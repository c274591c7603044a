"""Takes the outputs of another run into a block."""

from __future__ import annotations

from collections.abc import Mapping

from kaon_coordinator.engine.decision import Decision, user_error
from kaon_coordinator.engine.definition.compiled import floats_of
from kaon_coordinator.engine.scopes.scopes import end_block
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import typed
from kaon_coordinator.engine.state.state import BlockState
from kaonapi.workflow.v1 import definition_pb2 as d


def taken_from(
    decision: Decision,
    block: BlockState,
    wanted: Mapping[str, d.ValueType.ValueType],
    given: Mapping[str, str],
    run_id: str,
) -> dict[str, str] | None:
    """Return the wanted outputs of a run with their types; end the block and return None when the run gave fewer."""
    missing = sorted(set(wanted) - set(given))
    if missing:
        text = f"{block.path}: run {run_id} gave no output {', '.join(missing)}"
        end_block(decision, block, t.FAILED, user_error("OutputMismatch", text))
        return None
    return declared(wanted, given)


def declared(
    wanted: Mapping[str, d.ValueType.ValueType], given: Mapping[str, str]
) -> dict[str, str]:
    """Return the wanted ones of the outputs of a run, with their types."""
    return typed(floats_of(wanted), {name: given[name] for name in wanted})
