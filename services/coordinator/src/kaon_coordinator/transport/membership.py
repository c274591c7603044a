"""Membership: whether the consumer's group still hears this member.

The consumer's thread may hang although the broker answers and other clients of this process work. Then the
group gives the member's partitions to others, unnoticed until those end, too. A member that its group no
longer hears ends instead, so that its supervisor restarts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kaon_wire.errors import Unavailable


class Membership:
    """Counts the group's answers to one consumer's heartbeats.

    Args:
        consumer: aiokafka's consumer, which runs in a thread of its own.
        connected: Returns whether the broker answers at all; while it does not, the consumer is not blamed.
        patience: The seconds without an answer after which the consumer is given up; longer than a rebalance.
    """

    def __init__(self, consumer: Any, *, connected: Callable[[], bool], patience: float) -> None:
        self._connected = connected
        self._patience = patience
        # Written by the consumer's thread, read by ours.
        self._answers = 0
        group = consumer._coordinator
        ask = group._do_heartbeat

        async def asked() -> bool:
            answered: bool = await ask()
            self._answers += answered
            return answered

        group._do_heartbeat = asked

    async def watch(self) -> None:
        """Watch while the group answers.

        Raises:
            Unavailable: The group has been silent for too long, although the broker answers.
        """
        heard, silent = self._answers, 0.0
        # Counted in small sleeps and not by a clock: a pause of the whole process is not the consumer's
        # fault.
        step = self._patience / 60
        while silent < self._patience:
            await asyncio.sleep(step)
            if self._answers != heard or not self._connected():
                heard, silent = self._answers, 0.0
            else:
                silent += step
        raise Unavailable(
            f"the consumers' group has not heard this member for {self._patience:g} s, although the broker answers"
        )
