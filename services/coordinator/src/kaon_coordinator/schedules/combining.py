"""Combines the triggers of a schedule: any of several, or all of some. Pure.

Each trigger by itself is treated as a schedule that has nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kaon_coordinator.schedules import times
from kaon_coordinator.schedules.schedule_state import Occasion, ScheduleState
from kaon_wire import canonical
from kaonapi.schedule.v1 import schedule_pb2 as s

# Upper bound of the triggers of one schedule, and of the values of one that wait for the others.
MOST_TRIGGERS = 16
MOST_JOINED = 400


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One trigger of a combination."""

    # Its place: the number of its alternative, and its own in it.
    place: str
    alternative: int
    # As the author calls it; else its place.
    name: str
    # What it would be as a schedule of its own.
    schedule: s.Schedule
    filter_cel: str
    # What must be equal among the triggers of an alternative; empty when nothing must.
    join_cel: str


def leaves(schedule: s.Schedule) -> Iterator[Leaf]:
    """Yield the triggers of a combination; nothing for a schedule that has none."""
    for number, alternative in enumerate(schedule.triggers.any):
        for index, trigger in enumerate(alternative.all):
            place = f"{number}.{index}"
            yield Leaf(
                place=place,
                alternative=number,
                name=trigger.name or place,
                schedule=_alone(schedule, trigger),
                filter_cel=trigger.filter_cel,
                join_cel=trigger.join_cel,
            )


def _alone(schedule: s.Schedule, trigger: s.Trigger) -> s.Schedule:
    alone = s.Schedule()
    alone.CopyFrom(schedule)
    alone.ClearField("triggers")
    alone.ClearField("filter_cel")
    when = trigger.WhichOneof("when")
    if when is not None:
        getattr(alone, when).CopyFrom(getattr(trigger, when))
    if not times.is_timed(alone):
        alone.ClearField("jitter_ms")
    if trigger.HasField("jitter_ms"):
        alone.jitter_ms = trigger.jitter_ms
    return alone


def state_of(leaf: Leaf, state: ScheduleState) -> ScheduleState:
    """Return how far a trigger has come; one that was never evaluated begins where its schedule does."""
    known = state.parts.get(leaf.place)
    return known or ScheduleState(last_us=state.last_us, cursor_us=state.cursor_us)


def combine(
    schedule: s.Schedule, state: ScheduleState, arrived: Sequence[tuple[Leaf, Occasion]]
) -> tuple[list[Occasion], ScheduleState]:
    """Return the occasions of the alternatives that are complete with what has arrived, and what waits for others."""
    waiting = dict(state.waiting)
    occasions = []
    in_order = sorted(arrived, key=lambda each: (each[1].time_us, each[0].place, each[1].key))
    for leaf, occasion in in_order:
        alternative = schedule.triggers.any[leaf.alternative]
        if len(alternative.all) == 1:
            key = f"{leaf.place}:{occasion.key}"
            occasions.append(replace(occasion, key=key, trigger=leaf.name))
            continue
        key = _waits_as(leaf.place, occasion.join)
        waiting[key] = replace(occasion, trigger=leaf.name)
        complete = _complete(alternative, leaf, waiting, occasion)
        if complete is not None:
            occasions.append(complete)
    forgotten = _forget_oldest(waiting)
    return occasions, replace(state, waiting=waiting, last_error=forgotten or state.last_error)


def _waits_as(place: str, join: str) -> str:
    return f"{place}={join}" if join else place


def _forget_oldest(waiting: dict[str, Occasion]) -> str:
    """Forget the oldest of what waits beyond the bound, and tell of the newest that was; empty when there is none."""
    places: dict[str, list[str]] = {}
    for key in waiting:
        places.setdefault(key.partition("=")[0], []).append(key)
    told = ""
    for place, keys in places.items():
        keys.sort(key=lambda each: waiting[each].time_us)
        for key in keys[:-MOST_JOINED]:
            trigger, join = waiting[key].trigger, waiting.pop(key).join
            told = (
                f"trigger {trigger or place}: {join[:80]} waited for the others, and was forgotten: "
                f"the limit is {MOST_JOINED} values"
            )
    return told


def _complete(
    alternative: s.Alternative, newest: Leaf, waiting: dict[str, Occasion], now: Occasion
) -> Occasion | None:
    """Take the occasion of an alternative out of what waits; None while one of its triggers is missing."""
    count = len(alternative.all)
    places = [_waits_as(f"{newest.alternative}.{index}", now.join) for index in range(count)]
    if alternative.within_ms:
        oldest_us = now.time_us - alternative.within_ms * 1000
        own = [key for key in waiting if key.startswith(f"{newest.alternative}.")]
        for key in own:
            if waiting[key].time_us < oldest_us:
                del waiting[key]
    if not all(place in waiting for place in places):
        return None
    parts = [waiting.pop(place) for place in places]
    drawn = hashlib.sha256("\n".join(part.key for part in parts).encode()).hexdigest()
    events = {part.trigger: _event(part) for part in parts}
    return Occasion(
        key=f"{newest.alternative}:all:{drawn}",
        time_us=max(part.time_us for part in parts),
        event_json=canonical.dumps(events),
        trigger=newest.name,
        because_of=tuple(update for part in parts for update in part.because_of),
    )


def _event(occasion: Occasion) -> object:
    if occasion.event_json:
        return canonical.loads(occasion.event_json)
    return {"time": times.rfc3339(occasion.time_us)}


def with_parts(state: ScheduleState, parts: Mapping[str, ScheduleState]) -> ScheduleState:
    """Return the state with how far its triggers have come, and with the newest of their errors."""
    errors = [part.last_error for part in parts.values() if part.last_error]
    kept = {place: replace(part, last_error="") for place, part in parts.items()}
    return replace(state, parts=kept, last_error=errors[0] if errors else state.last_error)
