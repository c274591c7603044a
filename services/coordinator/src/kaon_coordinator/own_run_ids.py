"""Ids of runs that fall on a partition of the process that makes them, so that the run need not be handed over.

Runs of the same moment share a partition: then their reports, events and fences share records and statements.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from kaon_coordinator.ids import new_run_id, new_run_id_in

# Runs of so many microseconds share a partition; then it is another one's turn.
MOMENT_US = 1_000_000
# Beyond so many runs of a moment, or this part of a core that the process uses, runs are spread over all owners.
MOST_RUNS = 200
MOST_CPU = 0.8


class OwnRunIds:
    """Makes ids of runs that this process keeps, as long as it has room for them.

    Args:
        partitions: The number of partitions of runs.
        owned: Returns the partitions that this process owns.
        cpu: Returns the seconds of CPU that this process has used.
    """

    def __init__(
        self,
        *,
        partitions: int,
        owned: Callable[[], Collection[int]],
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self._partitions = partitions
        self._owned = owned
        self._cpu = cpu
        # Of the present moment: its number, when it began, the CPU used until then, and the runs that were kept.
        self._moment, self._began_us, self._used, self._kept = 0, 0, cpu(), 0
        self._is_busy = False

    def __call__(self, now_us: int) -> str:
        """Return a new id of a run that is submitted at this time, in microseconds since the epoch."""
        owned = sorted(self._owned())
        if not owned or not self._keeps(now_us, alone=len(owned) == self._partitions):
            return new_run_id(now_us)
        chosen = owned[now_us // MOMENT_US % len(owned)]
        return new_run_id_in(chosen, self._partitions, now_us)

    def _keeps(self, now_us: int, *, alone: bool) -> bool:
        """Tell whether this process has room for one more run; when it is alone, nobody else has."""
        if now_us // MOMENT_US != self._moment:
            self._begin_moment(now_us)
        self._kept += 1
        return alone or not (self._is_busy or self._kept > MOST_RUNS)

    def _begin_moment(self, now_us: int) -> None:
        used, seconds = self._cpu(), (now_us - self._began_us) / 1_000_000
        self._is_busy = used - self._used > MOST_CPU * seconds
        self._moment, self._began_us, self._used, self._kept = now_us // MOMENT_US, now_us, used, 0
