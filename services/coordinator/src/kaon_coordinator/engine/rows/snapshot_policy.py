"""When to snapshot a run's state, so that reading its past need not fold the history from the beginning.

Measured: restoring one row costs as much as folding two to three events, and a step that runs once gives five
events and two rows. A run that only grows therefore gains nothing from snapshots. A run whose steps report
many metrics, are retried or run again does.
"""

from __future__ import annotations

from kaon_coordinator.engine.state.state import RunState

# Folding fewer events takes about 20 ms at most.
FEWEST_EVENTS = 2_000
# The number of events that cost as much as one row of the state, with a margin for the cost of writing the
# snapshot.
EVENTS_PER_ROW = 4


def rows_in(state: RunState) -> int:
    """Return the number of rows of a state."""
    return len(state.steps) + len(state.blocks) + len(state.scopes)


def outweighs(events: int, rows: int) -> bool:
    """Tell whether the events since the last snapshot cost more to fold than a state of so many rows costs to restore."""
    return events >= FEWEST_EVENTS and events >= EVENTS_PER_ROW * rows
