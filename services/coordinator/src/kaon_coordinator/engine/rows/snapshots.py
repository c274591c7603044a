"""When a run's state is worth keeping, so that later looks at its past need not fold its history from the beginning.

Measured, reading a row of the state back costs as much as folding two to three events, and a step that runs once gives five events
and two rows. So a run that only grows gains nothing; one whose steps report much, fail and are retried, or begin again, does.
"""

from __future__ import annotations

from kaon_coordinator.engine.state.state import RunState

# Folding fewer events than this takes some 20 ms.
FEWEST_EVENTS = 2_000
# So many events weigh as much as one row of the state, with a margin for what keeping it costs.
EVENTS_PER_ROW = 4


def rows_in(state: RunState) -> int:
    """How many rows the state has."""
    return len(state.steps) + len(state.blocks) + len(state.scopes)


def outweighs(events: int, rows: int) -> bool:
    """Whether so many events since the last snapshot outweigh a state of so many rows."""
    return events >= FEWEST_EVENTS and events >= EVENTS_PER_ROW * rows
