"""Filters of schedules and triggers: which occasions count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kaon_coordinator import expressions
from kaon_coordinator.schedules import scheduled_runs
from kaon_coordinator.schedules.schedule_state import Occasion, ScheduleState
from kaon_wire import canonical
from kaonapi.schedule.v1 import schedule_pb2 as s

# Of a value by which triggers join, as JSON.
JOIN_CHARACTERS = 200


def kept(
    filter_cel: str,
    definition: s.Schedule,
    occasions: Iterable[Occasion],
    state: ScheduleState,
    cost: int,
) -> tuple[list[Occasion], ScheduleState]:
    """Return the occasions for which a filter is true, and the state with the error of one that has no answer."""
    found = []
    for occasion in occasions:
        try:
            if not filter_cel or _passes(filter_cel, definition, occasion, cost):
                found.append(occasion)
        except expressions.ExpressionError as error:
            state = replace(state, last_error=f"filter: {error}")
    return found, state


def joined(
    join_cel: str,
    definition: s.Schedule,
    occasions: Iterable[Occasion],
    state: ScheduleState,
    cost: int,
) -> tuple[list[Occasion], ScheduleState]:
    """Return the occasions with what they join by, and the state with the error of one that joins by nothing."""
    if not join_cel:
        return list(occasions), state
    found = []
    for occasion in occasions:
        try:
            values = scheduled_runs.variables(definition, occasion)
            text = canonical.dumps(expressions.evaluate(join_cel, values, cost))
            if len(text) > JOIN_CHARACTERS:
                raise expressions.ExpressionError(
                    f"{join_cel!r} has {len(text)} characters; the limit is {JOIN_CHARACTERS}"
                )
            found.append(replace(occasion, join=text))
        except expressions.ExpressionError as error:
            state = replace(state, last_error=f"join: {error}")
    return found, state


def _passes(filter_cel: str, definition: s.Schedule, occasion: Occasion, cost: int) -> bool:
    values = scheduled_runs.variables(definition, occasion)
    answer = expressions.evaluate(filter_cel, values, cost)
    if not isinstance(answer, bool):
        raise expressions.ExpressionError(f"{filter_cel!r} is {answer!r}, not true or false")
    return answer
