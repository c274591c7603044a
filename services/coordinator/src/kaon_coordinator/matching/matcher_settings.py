"""The matcher's bounds. Times are seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MatcherSettings:
    """How patient a matcher is."""

    # A runner unheard for so long is dropped, and what it has not started goes elsewhere.
    lease: float = 10.0
    # A runner unheard for so long gets nothing new; runners are heard every 2 s.
    quiet: float = 5.0
    # How long a new matcher waits for runners to say what they already have, before it releases what engines say is READY.
    settle: float = 2.5
    # A heartbeat speaks about a release when it was sent at least so long after it; it takes two of them to miss one.
    in_flight: float = 1.0
    # A step that was handed back does not go to the same runner again for so long.
    avoid: float = 2.0
    # A release that has been queued at its runner for so long goes elsewhere when another runner is free.
    withdraw: float = 1.0
    # One level of priority is worth so much waiting.
    ageing: float = 60.0
    # A request that has waited so long while smaller ones were placed gets a runner kept free for it.
    reserve: float = 2.0
    # So long after that, also tenants with a smaller share take nothing of that runner any more.
    reserve_firm: float = 10.0
    # At most this part of the runners (at least one) is kept free for large requests at once.
    reserve_part: float = 0.05
    # A runner with so many faults (steps that it lost or handed back unstarted) within so long rests: the first time for
    # `rest`, then twice as long each time, up to `longest_rest`. Never more than half of the runners rest.
    faults: int = 3
    fault_window: float = 60.0
    rest: float = 10.0
    longest_rest: float = 300.0
    # A runner that had a free slot and has not started the step after so long is slow, and so is one that was silent for
    # `slow_silence`. It counts as slow for `slow_for`.
    slow_start: float = 3.0
    slow_silence: float = 4.0
    slow_for: float = 60.0
    # How often pool reports are sent.
    report: float = 3.0
    # How often silent runners are dropped, and queued steps withdrawn that another runner could start.
    maintenance: float = 0.25
    # At most so many times a runner's slots are outstanding at it.
    depth: float = 8.0
    # A matcher that was not called for so long could not hear, and blames no runner for it.
    stall: float = 2.0
    # How often a release may get lost before the request is forgotten: the engine sends it again when it is still READY.
    losses: int = 2


DEFAULT = MatcherSettings()
