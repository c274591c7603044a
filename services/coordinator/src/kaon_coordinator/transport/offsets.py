"""Asks the broker for the offsets of partitions, through a consumer without a group."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError

from kaon_coordinator.transport.base import TopicPartition
from kaon_coordinator.transport.transient import may_pass
from kaon_service.kafka_security import KafkaSecurity
from kaon_wire.errors import Unavailable

_PAUSE_SECONDS = 0.25
_CLOSE_SECONDS = 3.0
_Question: TypeAlias = Callable[
    [AIOKafkaConsumer, list[KafkaPartition]], Awaitable[Mapping[KafkaPartition, int]]
]


class EndOffsets:
    """Answers with the current ends of partitions, and where they begin.

    Args:
        bootstrap: host:port of a broker, or several with commas.
        security: How to connect to it.
        patience: The time-out of a question, in seconds.
        heard: Called whenever the broker has answered.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        security: KafkaSecurity,
        patience: float,
        heard: Callable[[], None],
    ) -> None:
        self._bootstrap = bootstrap
        self._security = security
        self._patience = patience
        self._heard = heard
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect to the broker.

        Raises:
            Unavailable: No broker answers.
        """
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            request_timeout_ms=5_000,
            **self._security.arguments,
        )
        try:
            await consumer.start()
        except KafkaError as error:
            await consumer.stop()
            raise Unavailable(f"no broker answers at {self._bootstrap}: {error!r}") from error
        self._consumer = consumer

    async def stop(self) -> None:
        """Disconnect, within a bounded time."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                await asyncio.wait_for(consumer.stop(), _CLOSE_SECONDS)
            except (TimeoutError, KafkaError):
                # It has only asked questions: nothing is lost.
                pass

    async def get(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return the end offsets; see `Transport.end_offsets`."""
        return await self._ask(AIOKafkaConsumer.end_offsets, partitions)

    async def first(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return the offset of the first record of each partition that was not deleted; the end where there is none.

        Raises:
            Unavailable: The broker did not answer for too long, or refused.
        """
        return await self._ask(AIOKafkaConsumer.beginning_offsets, partitions)

    async def _ask(
        self, question: _Question, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        asked = [KafkaPartition(topic, number) for topic, number in partitions]
        deadline = time.monotonic() + self._patience
        while True:
            if self._consumer is None:
                raise Unavailable("the transport is not started, or was stopped")
            try:
                found = await question(self._consumer, asked)
            except KafkaError as error:
                if time.monotonic() > deadline or not may_pass(error):
                    raise Unavailable(f"the broker did not tell its offsets: {error!r}") from error
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._heard()
                return {(key.topic, key.partition): offset for key, offset in found.items()}
