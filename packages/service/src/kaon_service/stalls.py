"""Notices a client whose records are not acknowledged for long."""

from __future__ import annotations

import time
from collections.abc import Callable


class StallWatch:
    """Follows what waits in a client, and what was acknowledged.

    Args:
        patience: The seconds without an acknowledgement after which the client counts as stalled.
        clock: Returns monotonic seconds.
    """

    def __init__(self, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._clock = clock
        self._acknowledged = 0
        self._since = clock()

    def stalled(self, *, waiting: int, acknowledged: int) -> bool:
        """Tell whether records have waited for too long; the next time after as long again.

        Args:
            waiting: How many records wait for their acknowledgement now.
            acknowledged: How many were acknowledged, ever.
        """
        now = self._clock()
        if not waiting or acknowledged != self._acknowledged:
            self._acknowledged, self._since = acknowledged, now
        elif now - self._since >= self._patience:
            self._since = now
            return True
        return False
