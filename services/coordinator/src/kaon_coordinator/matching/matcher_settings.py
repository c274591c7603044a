"""The matcher's bounds. Times are seconds."""

from __future__ import annotations

from dataclasses import dataclass

from kaon_wire.outstanding import MOST_FOR_A_SLOT


@dataclass(frozen=True, kw_only=True)
class MatcherSettings:
    """Time-outs and bounds of a matcher."""

    # A runner that is silent for so long is dropped, and its unstarted steps go elsewhere.
    lease: float = 10.0
    # A runner that is silent for so long gets nothing new; runners send a heartbeat every 2 s.
    quiet: float = 5.0
    # How long a new matcher waits for the heartbeats of runners before it releases READY steps.
    settle: float = 2.5
    # A heartbeat counts for a release that is at least so much older; two of them must miss it.
    in_flight: float = 1.0
    # A step that was handed back does not go to the same runner again for so long.
    avoid: float = 2.0
    # A release that was queued at its runner for so long goes elsewhere when another runner is free.
    withdraw: float = 1.0
    # One level of priority equals so much waiting.
    ageing: float = 60.0
    # A request that has waited for so long while smaller ones were placed gets a reservation.
    reserve: float = 2.0
    # So long after that, tenants with a smaller share take nothing of that runner either.
    reserve_firm: float = 10.0
    # At most this fraction of the runners (at least one) is reserved for large requests at once.
    reserve_part: float = 0.05
    # A runner with so many faults (steps that it lost or handed back unstarted) within so long rests: the
    # first time for `rest`, then twice as long each time, up to `longest_rest`. At most half of the runners
    # rest.
    faults: int = 3
    fault_window: float = 60.0
    rest: float = 10.0
    longest_rest: float = 300.0
    # A runner that had a free slot and did not start the step within this time is slow, and so is one that
    # was silent for `slow_silence`. It counts as slow for `slow_for`.
    slow_start: float = 3.0
    slow_silence: float = 4.0
    slow_for: float = 60.0
    # Interval of pool reports.
    report: float = 3.0
    # Interval of dropping silent runners and withdrawing queued steps that another runner could start.
    maintenance: float = 0.25
    # Outstanding slots of a runner, at most, as a multiple of its slots. Short steps then come and go in large batches: with 8
    # in place of 16 a step costs all processes a sixth more.
    depth: float = MOST_FOR_A_SLOT
    # A matcher that was not called for so long could not receive messages, and blames no runner for it.
    stall: float = 2.0
    # How often a release may be lost before the request is forgotten: the engine sends it again if it is
    # still READY.
    losses: int = 2


DEFAULT = MatcherSettings()
