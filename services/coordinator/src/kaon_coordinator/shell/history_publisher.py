"""Publishes durable history beside the turns, so that the next step need not wait for the broker's acknowledgement.

Each run's mark tells how far its history is published; the next owner publishes the rest again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence

from kaon_coordinator.shell.outbox import Outbox
from kaon_coordinator.shell.partition import Partition
from kaon_coordinator.store.base import EncodedEvent
from kaon_coordinator.transport.base import Transport
from kaon_wire import topics

# Minimum seconds between two sends. Watchers of the API do not wait for it. The view service tells what is new every 50 ms, so that
# more sends than that would cost broker and view, and show nothing sooner.
PAUSE_SECONDS = 0.05


class HistoryPublisher:
    """Sends history in order, one batch at a time; the next batch gathers meanwhile.

    Args:
        catalogue: The deployment's topics.
        transport: The transport to send by.
    """

    def __init__(self, catalogue: topics.Catalogue, transport: Transport) -> None:
        self._catalogue = catalogue
        self._transport = transport
        self._waiting: list[tuple[Partition, Sequence[EncodedEvent]]] = []
        self._filled = asyncio.Event()

    def add(self, partition: Partition, events: Sequence[EncodedEvent]) -> None:
        """Queue durable events for publication; the partition is told of their acknowledgement."""
        if events:
            self._waiting.append((partition, events))
            self._filled.set()

    def drop(self, partition: int) -> None:
        """Forget a partition that another owner has claimed; that owner publishes the rest."""
        self._waiting = [entry for entry in self._waiting if entry[0].number != partition]

    async def run(self) -> None:
        """Publish until cancelled.

        Raises:
            Unavailable: The broker has refused a record for good.
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
            # Events of that time are sent together: one send costs the broker as much as many events.
            await asyncio.sleep(PAUSE_SECONDS)


def _by_partition(
    waiting: Iterable[tuple[Partition, Sequence[EncodedEvent]]],
) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = defaultdict(list)
    for partition, events in waiting:
        found[partition.number] += [event.data for event in events]
    return found
