"""Publishes durable history beside the turns: the next step does not wait until the public record of the one before is
acknowledged. What has not been published is known by the runs' marks, and published again by the next owner."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence

from kaon_coordinator.shell.outbox import Outbox
from kaon_coordinator.shell.partition import Partition
from kaon_coordinator.store.base import EncodedEvent
from kaon_coordinator.transport.base import Transport
from kaon_wire import topics

# Between two sends, at least. Who watches a run through the API does not wait for this.
PAUSE_SECONDS = 0.03


class HistoryPublisher:
    """Sends history in order, one batch at a time; while one is under way the next gathers.

    Args:
        catalogue: the deployment's topics.
        transport: where it goes.
    """

    def __init__(self, catalogue: topics.Catalogue, transport: Transport) -> None:
        self._catalogue = catalogue
        self._transport = transport
        self._waiting: list[tuple[Partition, Sequence[EncodedEvent]]] = []
        self._filled = asyncio.Event()

    def add(self, partition: Partition, events: Sequence[EncodedEvent]) -> None:
        """Publishes durable events soon; the partition is told when they are acknowledged."""
        if events:
            self._waiting.append((partition, events))
            self._filled.set()

    def drop(self, partition: int) -> None:
        """Forgets a partition that another owner has claimed; that owner publishes what has not left yet."""
        self._waiting = [entry for entry in self._waiting if entry[0].number != partition]

    async def run(self) -> None:
        """Publishes until cancelled.

        Raises:
            Unavailable: the broker has finally refused a record.
        """
        while True:
            await self._filled.wait()
            self._filled.clear()
            waiting, self._waiting = self._waiting, []
            outbox = Outbox(self._catalogue)
            for number, data in _by_partition(waiting).items():
                outbox.history(number, data)
            await self._transport.send(outbox.take())
            for partition, events in waiting:
                partition.note_published(events)
            # What becomes durable meanwhile travels together: a send costs the broker as much as many events do.
            await asyncio.sleep(PAUSE_SECONDS)


def _by_partition(waiting: Iterable[tuple[Partition, Sequence[EncodedEvent]]]) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = defaultdict(list)
    for partition, events in waiting:
        found[partition.number] += [event.data for event in events]
    return found
