"""The transport of a process that owns no partitions: it sends, and joins no group."""

from __future__ import annotations

import asyncio

from kaon_coordinator.transport.base import Handler, Incoming
from kaon_coordinator.transport.line import BrokerLine
from kaon_service.kafka_security import OPEN, KafkaSecurity
from kaon_wire.errors import Unavailable
from kaon_wire.topics import RUN_COMMANDS, Catalogue

# Seconds: a send that cannot be delivered for so long fails.
_PATIENCE = 300.0
# Seconds: the broker counts as away after so much silence, and is probed when there is no other traffic.
_SILENCE = 4.0
_PROBE = 1.0


class OutsideTransport(BrokerLine):
    """A producer that is assigned and delivered nothing; see `kaon_coordinator.transport.base.Transport`.

    Args:
        bootstrap: host:port of a broker, or several with commas.
        catalogue: The deployment's topics: the broker's partition count of `run-commands` must agree with it.
        security: How to connect to the broker.
    """

    def __init__(
        self, bootstrap: str, *, catalogue: Catalogue, security: KafkaSecurity = OPEN
    ) -> None:
        super().__init__(
            bootstrap, security=security, patience=_PATIENCE, silence=_SILENCE, probe=_PROBE
        )
        self._catalogue = catalogue
        self._probing: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()

    async def start(self, handler: Handler) -> None:
        """Connect to the broker; `handler` is told nothing.

        Raises:
            Unavailable: The broker did not answer, or `run-commands` is missing or has other partitions than configured.
        """
        try:
            await self._producing.start()
            await self._offsets.start()
            self._check_topic()
            self._broker.hear()
            self._probing = asyncio.create_task(self._watch(), name="transport probe")
        except BaseException:
            await self.stop()
            raise

    def _check_topic(self) -> None:
        found, wanted = (
            self._producing.partitions(RUN_COMMANDS),
            self._catalogue.partitions_of(RUN_COMMANDS),
        )
        if found != wanted:
            raise Unavailable(
                f"topic {RUN_COMMANDS} has {found} partitions at {self._bootstrap}, but {wanted} are configured: "
                "create it first, or make them agree"
            )

    async def stop(self) -> None:
        """Send what waits and disconnect."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        await self._offsets.stop()
        await self._producing.stop()

    async def failed(self) -> None:
        """Return when the transport was stopped: no delivery can fail, only the probe of the broker."""
        if self._probing is not None:
            await asyncio.wait([self._probing])
            if not self._probing.cancelled():
                self._probing.result()
        await self._stopped.wait()

    async def quarantine(self, incoming: Incoming, reason: str) -> None:
        """Refuse: nothing is delivered here that could be quarantined.

        Raises:
            Unavailable: Always.
        """
        raise Unavailable(
            f"a record of {incoming.topic}/{incoming.partition} reached a process that owns no partitions: {reason}"
        )

    async def _watch(self) -> None:
        """Probe the broker, and tell the log what it does not do meanwhile."""
        reminding = asyncio.create_task(self._remind(), name="transport reminder")
        try:
            await self._probe()
        finally:
            reminding.cancel()
