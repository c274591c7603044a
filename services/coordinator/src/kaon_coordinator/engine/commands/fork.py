"""Forks: a new run that begins with the state in which another one was after some event."""

from __future__ import annotations

from collections.abc import Iterator

from kaon_coordinator.engine.kinds.table import KINDS
from kaon_coordinator.engine.rows.codec import touch_all
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.counting import is_active
from kaon_coordinator.engine.state.resetting import plan, reopen, reset
from kaon_coordinator.engine.state.state import NOTHING, Node, RunState, StepState


def fork_state(origin: RunState, run_id: str) -> RunState:
    """Makes the folded state of a run the one with which its fork `run_id` begins, before the fork's first event.

    What has ended stays as it is, and so do buffered signals. What was under way (steps with their attempts, gates that waited,
    sub-workflows) has not begun; a stop, a pause or an end of the original does not count. `origin` itself is changed and returned:
    a caller that needs both folds the history twice. The same state always gives the same fork.
    """
    state = origin
    ended = state.ended
    state.preparing.clear()
    reset(state, plan(_under_way(state)).paths)
    if ended:
        reopen(state, state.root)
    state.run_id, state.seq, state.status, state.waits_since = run_id, 0, t.PENDING, 0
    state.parent_run_id = state.parent_path = ""
    state.asked = 0
    for block in state.blocks.values():
        # Those runs are the original's.
        block.continues = ""
    state.submit_us = state.start_us = state.since_us = state.end_us = 0
    state.error, state.outputs = None, NOTHING
    state.cancel_requested = state.force_stop = state.late = False
    state.dropped.clear()
    touch_all(state)
    return state


def _under_way(state: RunState) -> Iterator[Node]:
    nodes: list[Node] = [*state.steps.values(), *state.blocks.values()]
    for node in nodes:
        # Blocks with cells go on with what they have.
        if is_active(node) and (isinstance(node, StepState) or not KINDS.blocks[node.kind].has_cells):
            yield node
