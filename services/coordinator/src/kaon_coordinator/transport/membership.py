"""Membership: whether the consumer's group still hears this member, and whether it still reads.

A thread of the consumer may hang although the broker answers and other clients of this process work. Then the
group gives the member's partitions to others, unnoticed until those end, too; or the member keeps partitions
that nobody reads. Such a member ends instead, so that its supervisor restarts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kaon_wire.errors import Unavailable


class Membership:
    """Counts the group's answers to one consumer's heartbeats, and the turns of its reader.

    Args:
        consumer: aiokafka's consumer, which runs in a thread of its own.
        turns: Returns a number that changes while records are asked for.
        connected: Returns whether the broker answers at all; while it does not, the consumer is not blamed.
        patience: The seconds without a sign after which the consumer is given up; longer than a rebalance.
    """

    def __init__(
        self,
        consumer: Any,
        *,
        turns: Callable[[], int],
        connected: Callable[[], bool],
        patience: float,
    ) -> None:
        self._connected = connected
        self._patience = patience
        # Written by the consumer's thread, read by ours.
        self._answers = 0
        self._signs: dict[str, Callable[[], int]] = {
            "the consumers' group has not heard this member": lambda: self._answers,
            "this member has not asked for records": turns,
        }
        group = consumer._coordinator
        ask = group._do_heartbeat

        async def asked() -> bool:
            answered: bool = await ask()
            self._answers += answered
            return answered

        group._do_heartbeat = asked

    async def watch(self) -> None:
        """Watch while the group answers and records are asked for.

        Raises:
            Unavailable: Either has stopped for too long, although the broker answers.
        """
        seen = {what: (sign(), 0.0) for what, sign in self._signs.items()}
        # Counted in small sleeps and not by a clock: a pause of the whole process is not the consumer's
        # fault.
        step = self._patience / 60
        while True:
            await asyncio.sleep(step)
            for what, sign in self._signs.items():
                before, silent = seen[what]
                now = sign()
                still = now == before and self._connected()
                seen[what] = now, silent + step if still else 0.0
                if seen[what][1] >= self._patience:
                    raise Unavailable(
                        f"{what} for {self._patience:g} s, although the broker answers"
                    )
