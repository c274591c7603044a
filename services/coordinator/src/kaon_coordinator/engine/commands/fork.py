"""Forks: new runs that begin with the state of another run after a given event."""

from __future__ import annotations

from collections.abc import Iterator

from kaon_coordinator.engine.definition.compiled import BODY, CompiledWorkflow
from kaon_coordinator.engine.kinds.table import KINDS
from kaon_coordinator.engine.rows.codec import touch_all
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.counting import is_active
from kaon_coordinator.engine.state.resetting import plan, reopen, reset
from kaon_coordinator.engine.state.state import NOTHING, Node, RunState, StepState


def fork_state(origin: RunState, run_id: str, workflow: CompiledWorkflow | None = None) -> RunState:
    """Convert the folded state of a run into the initial state of its fork `run_id`, before the fork's first event.

    Ended nodes and buffered signals are kept. Active nodes (steps with their attempts, waiting gates,
    sub-workflows) return to their state before they began. A stop, a pause or the end of the original run is
    discarded. The function changes and returns `origin` itself: a caller that needs both states folds the
    history twice. It is deterministic: the same state always gives the same fork.

    A fork into another version of the `workflow` is put under it by its own history (DefinitionChanged).
    """
    state = origin
    ended = state.ended
    state.transient.preparing.clear()
    reset(state, plan(_under_way(state)).paths)
    if ended:
        reopen(state, state.root)
    _discard_stops(state)
    state.run_id, state.seq, state.status, state.waits_since = run_id, 0, t.PENDING, 0
    state.parent_run_id = state.parent_path = ""
    state.asked = 0
    for block in state.blocks.values():
        # The child runs belong to the original run.
        block.continues = ""
    state.submit_us = state.start_us = state.since_us = state.end_us = 0
    if workflow is not None and workflow.version != state.workflow.version:
        state.into = workflow
    state.error, state.outputs = None, NOTHING
    state.breakpoints = frozenset()
    for step in state.steps.values():
        step.held = step.released = False
    state.cancel_requested = state.force_stop = state.late = False
    # What ended in the original ended before all that ends in the fork, whatever its owner's clock says.
    state.newest_us += 1
    state.transient.dropped.clear()
    touch_all(state)
    return state


def _discard_stops(state: RunState) -> None:
    """Discard the stops of what has not ended; hooks keep the outcome for which they run."""
    for scope in state.scopes.values():
        if scope.status == t.RUNNING and scope.phase == BODY:
            scope.stop = t.NONE
    for block in state.blocks.values():
        if block.status == t.RUNNING:
            block.stop = t.NONE


def _under_way(state: RunState) -> Iterator[Node]:
    nodes: list[Node] = [*state.steps.values(), *state.blocks.values()]
    for node in nodes:
        # Blocks with cells continue with the cells that they have.
        if is_active(node) and (
            isinstance(node, StepState) or not KINDS.blocks[node.kind].has_cells
        ):
            yield node
