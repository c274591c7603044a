"""What becomes of occasions while the previous run of their schedule goes on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kaon_coordinator.schedules.state import Occasion
from kaonapi.schedule.v1 import schedule_pb2 as s


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is done."""

    submit: Sequence[Occasion] = ()
    # Waits for the end of the previous run.
    buffered: Occasion | None = None
    # The previous run is cancelled.
    cancel: bool = False


def plan(
    policy: s.Overlap.ValueType, occasions: Sequence[Occasion], *, active: bool, buffered: Occasion | None
) -> Plan:
    """What is done about occasions, oldest first.

    Args:
        policy: the schedule's.
        occasions: what has come up since the last look.
        active: whether the schedule's previous run has not ended.
        buffered: what waits since an earlier look.
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
