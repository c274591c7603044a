"""What every transport over Kafka has of the broker: sends, offsets, and whether it answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from kaon_coordinator.transport.base import Send, TopicPartition
from kaon_coordinator.transport.broker_watch import BrokerWatch
from kaon_coordinator.transport.offsets import EndOffsets
from kaon_coordinator.transport.producing import Producing
from kaon_service.kafka_security import KafkaSecurity
from kaon_wire.errors import Unavailable
from kaon_wire.topics import RUN_COMMANDS


class BrokerLine:
    """A line to the broker, for a transport to be built upon; see `kaon_coordinator.transport.base.Transport`.

    Args:
        bootstrap: host:port of a broker, or several with commas.
        security: How to connect to the broker.
        patience: The seconds after which a send that cannot be delivered fails.
        silence: The seconds of silence after which the broker counts as away.
        probe: The seconds of silence after which it is probed, when there is no other traffic.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        security: KafkaSecurity,
        patience: float,
        silence: float,
        probe: float,
    ) -> None:
        self._bootstrap = bootstrap
        self._probe_seconds = probe
        self._broker = BrokerWatch(silence=silence)
        self._producing = Producing(
            bootstrap=bootstrap, security=security, patience=patience, watch=self._broker
        )
        self._offsets = EndOffsets(
            bootstrap=bootstrap, security=security, patience=patience, heard=self._broker.hear
        )

    async def send(self, sends: Sequence[Send]) -> None:
        """Send a batch and return when the broker has acknowledged all of it."""
        await self._producing.send(sends)

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Return the offset of the next record of each partition, as the broker reports it now."""
        return await self._offsets.get(partitions)

    @property
    def connected(self) -> bool:
        """Tell whether the broker has been heard recently: if not, silence of runners means nothing."""
        return self._broker.connected

    @property
    def last_contact(self) -> float:
        """Return when the broker was last heard (a reply to a fetch, heartbeat or send), in seconds of `time.monotonic`."""
        return self._broker.last_contact

    @property
    def trouble(self) -> str:
        """Return what the broker does not do, and for how long; empty while it does everything."""
        return self._broker.trouble

    async def _probe(self) -> None:
        """Probe the broker whenever it has been silent for a while."""
        while True:
            silence = time.monotonic() - self._broker.last_contact
            if silence >= self._probe_seconds:
                # Whether it fails at once or waits for long: `_remind` tells.
                with suppress(Unavailable):
                    await self._offsets.get([(RUN_COMMANDS, 0)])
            await asyncio.sleep(self._probe_seconds)

    async def _remind(self) -> None:
        """Tell the log what the broker does not do."""
        while True:
            self._broker.remind()
            await asyncio.sleep(self._probe_seconds)
