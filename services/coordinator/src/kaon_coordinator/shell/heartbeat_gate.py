"""The gate before the matchers: heartbeats that no runner of their pool has signed are counted and dropped."""

from __future__ import annotations

import structlog

from kaon_coordinator.shell.shell_settings import Counters
from kaon_service.heartbeat_signatures import HeartbeatVerifier
from kaonapi.runner.v1 import runner_pb2

log = structlog.get_logger(__name__)
# Of names that somebody may have made up.
_SHOWN = 100


class HeartbeatGate:
    """Admits heartbeats.

    Args:
        verifier: Checks signatures; None: every heartbeat counts.
        counters: Counts those that are dropped.
    """

    def __init__(self, verifier: HeartbeatVerifier | None, counters: Counters) -> None:
        self._verifier = verifier
        self._counters = counters
        self._told = ("", "")

    def admits(self, value: bytes, heartbeat: runner_pb2.RunnerHeartbeat) -> bool:
        """Tell whether a heartbeat counts.

        Args:
            value: The record as it came.
            heartbeat: What it says.
        """
        problem = self._verifier.problem(value, heartbeat) if self._verifier is not None else ""
        if problem:
            self._counters.unproven_heartbeats += 1
            self._tell(heartbeat.incarnation[:_SHOWN], problem)
        return not problem

    def _tell(self, incarnation: str, problem: str) -> None:
        # One that is misconfigured beats every two seconds.
        if self._told != (incarnation, problem):
            self._told = (incarnation, problem)
            log.warning("heartbeat dropped", incarnation=incarnation, reason=problem)
