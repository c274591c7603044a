"""Delivers announcements to the watchers in this process and to the broker."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

from kafka import KafkaProducer
from kafka.errors import KafkaError

from kaon_publisher.store.registry import ModelStore
from kaon_service.background import in_rounds
from kaon_service.kafka_security import OPEN, KafkaSecurity
from kaon_wire.errors import Unavailable
from kaon_wire.topics import MODEL_EVENTS


class Notifier:
    """Wakes the watchers that wait for an announcement."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake all watchers: there is a new announcement."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Return at the next notification, at the latest after `seconds`: another process may have announced a version."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return


class Broker(Protocol):
    """The message broker of announcements, beside the gRPC watchers."""

    def send(self, value: bytes) -> None:
        """Send one announcement and wait for its acknowledgement; raise OSError when there is none."""

    def close(self) -> None:
        """Close the connection."""


class KafkaBroker:
    """The topic model-events of a Kafka broker."""

    def __init__(self, address: str, security: KafkaSecurity = OPEN) -> None:
        self._producer = KafkaProducer(
            bootstrap_servers=address.split(","),
            acks="all",
            retries=5,
            reconnect_backoff_max_ms=1000,
            **security.arguments,
        )

    def send(self, value: bytes) -> None:
        """Send one announcement; see `Broker`."""
        try:
            self._producer.send(MODEL_EVENTS, value=value, partition=0).get(timeout=30)
        except KafkaError as error:
            raise OSError(f"model-events: {error}") from error

    def close(self) -> None:
        """Close the connection; see `Broker`."""
        self._producer.close(timeout=5)


class Announcer:
    """Sends the announcements that the broker has not acknowledged, now and after every notification, in order."""

    def __init__(self, store: ModelStore, notifier: Notifier, broker: Broker) -> None:
        self._store = store
        self._notifier = notifier
        self._broker = broker

    async def run(self) -> None:
        """Run until cancelled. While the broker or the database is away the announcements wait in their rows.

        Raises:
            Exception: An error that is neither of the broker nor of the database.
        """
        await in_rounds(
            "announcer",
            self._round,
            partial(self._notifier.wait, 5.0),
            passing=(OSError, Unavailable),
        )

    async def _round(self) -> None:
        await asyncio.to_thread(self._send_all)

    def _send_all(self) -> None:
        for tenant, cursor in self._store.unsent():
            (announcement,) = self._store.announcements(tenant, cursor - 1, limit=1)
            self._broker.send(announcement.SerializeToString())
            self._store.mark_sent(tenant, cursor)
