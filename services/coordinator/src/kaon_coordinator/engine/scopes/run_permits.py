"""The permits that a run needs to be active."""

from __future__ import annotations

from kaon_coordinator.engine.actions import TakePermits
from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.state.state import RunState
from kaonapi.workflow.v1 import definition_pb2 as d

BACKFILL = "backfill:"
STRATEGY = "strategy:"
WORKFLOW = "workflow:"
_PARALLEL = frozenset({d.SUBMIT_STRATEGY_UNSPECIFIED, d.SUBMIT_STRATEGY_PARALLEL})


def permit_keys(state: RunState) -> tuple[str, ...]:
    """Return the keys of the permits that the run needs to be active."""
    keys = []
    definition = state.workflow.definition
    if definition.max_active_runs:
        keys.append(f"{WORKFLOW}{definition.name}")
    if definition.strategy not in _PARALLEL:
        keys.append(f"{STRATEGY}{definition.name}")
    if state.origin.startswith(BACKFILL):
        keys.append(state.origin)
    return tuple(keys)


def take_permits(decision: Decision) -> None:
    """Request the run's permits."""
    decision.act(TakePermits(path="", asked=decision.state.seq, keys=permit_keys(decision.state)))
