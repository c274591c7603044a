"""The lag watch: whether a reader gets what the broker has for it.

The client goes on by itself after every error, and its thread takes its turns, so that nothing else tells when it
fetches nothing of a partition any more. A member whose reader stays behind ends, so that its supervisor restarts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from kaon_coordinator.transport.base import TopicPartition
from kaon_coordinator.transport.offsets import EndOffsets
from kaon_wire.errors import Unavailable

# Looks within the patience.
_LOOKS = 12


class Reading(Protocol):
    """What is watched of a reader."""

    @property
    def has_room(self) -> bool:
        """Return whether it reads: it pauses while too many records wait."""

    @property
    def positions(self) -> Mapping[TopicPartition, int | None]:
        """Return the offset after the last record that was read of each partition; None reads from the first that there is."""


class LagWatch:
    """Compares how far a reader has come with the broker's offsets.

    Args:
        reader: Returns the present reader; None while there is none.
        offsets: Asks the broker.
        patience: The seconds for which records of a partition may be there and none of them is read.
    """

    def __init__(
        self, reader: Callable[[], Reading | None], offsets: EndOffsets, *, patience: float
    ) -> None:
        self._reader = reader
        self._offsets = offsets
        self._patience = patience
        self._watched: Reading | None = None
        # Partitions that were behind at the last look: where the reader stood, and for how many seconds.
        self._behind: dict[TopicPartition, tuple[int, float]] = {}

    async def watch(self) -> None:
        """Watch while records are read.

        Raises:
            Unavailable: The broker answers and has records of a partition, and the reader gets none of them.
        """
        # Counted in looks that the broker has answered, and not by a clock: an outage, or a pause of the whole process, is not
        # the reader's fault.
        step = self._patience / _LOOKS
        while True:
            await asyncio.sleep(step)
            await self.look(step)

    async def look(self, seconds: float) -> None:
        """Look once, so many seconds after the last time; see `watch`."""
        reader = self._reader()
        if reader is None or reader is not self._watched or not reader.has_room:
            self._watched, self._behind = reader, {}
            return
        stuck: list[TopicPartition] = []
        before, self._behind = self._behind, {}
        positions = {key: at or 0 for key, at in reader.positions.items()}
        # While the broker does not answer, nobody is behind.
        with suppress(Unavailable):
            ends = await self._offsets.get(positions)
            for key, at in positions.items():
                if at < ends[key]:
                    stood, waited = before.get(key, (-1, 0.0))
                    self._behind[key] = at, waited + seconds if stood == at else 0.0
            late = [key for key, (_, waited) in self._behind.items() if waited >= self._patience]
            # What was deleted cannot be read.
            firsts = await self._offsets.first(late) if late else {}
            stuck = [key for key in late if max(firsts[key], positions[key]) < ends[key]]
        if stuck:
            topic, partition = stuck[0]
            raise Unavailable(
                f"{topic}/{partition} has records up to offset {ends[stuck[0]]}, and none from {positions[stuck[0]]} on was read "
                f"for {self._patience:g} s, although the broker answers"
            )
