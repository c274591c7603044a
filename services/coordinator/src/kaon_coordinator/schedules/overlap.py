"""Applies the overlap policy to occasions while the previous run of the schedule is active. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kaon_coordinator.schedules.schedule_state import Occasion
from kaonapi.schedule.v1 import schedule_pb2 as s


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The decision."""

    submit: Sequence[Occasion] = ()
    # Waits for the end of the previous run.
    buffered: Occasion | None = None
    # The previous run is cancelled.
    cancel: bool = False


def plan(
    policy: s.Overlap.ValueType,
    occasions: Sequence[Occasion],
    *,
    active: bool,
    buffered: Occasion | None,
) -> Plan:
    """Apply the overlap policy to occasions, oldest first.

    Args:
        policy: The schedule's overlap policy.
        occasions: The occasions since the last evaluation.
        active: Whether the schedule's previous run has not ended.
        buffered: The occasion that an earlier evaluation buffered.
    """
    match policy:
        case s.OVERLAP_SKIP:
            return Plan(submit=[] if active else occasions[:1])
        case s.OVERLAP_BUFFER:
            waiting = [*([buffered] if buffered else []), *occasions]
            submit = [] if active else waiting[:1]
            rest = waiting[len(submit) :]
            return Plan(submit=submit, buffered=rest[0] if rest else None)
        case s.OVERLAP_CANCEL_OTHER:
            return Plan(submit=occasions[-1:], cancel=active and bool(occasions))
    return Plan(submit=occasions)
