"""Topic run-events read from its end on, all partitions: what happens to runs, whoever owns them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from google.protobuf.message import DecodeError

from kaon_service.kafka_security import KafkaSecurity
from kaon_wire import topics
from kaonapi.run.v1 import history_pb2

log = structlog.get_logger(__name__)

_POLL_MS = 1_000
_AGAIN_SECONDS = 1.0


async def follow_run_events(
    brokers: str,
    security: KafkaSecurity,
    partitions: int,
    told: Callable[[history_pb2.RunEvents], None],
) -> None:
    """Tells every record from now on, until cancelled. What comes while the broker is away is not told: the database has it.

    Args:
        brokers: host:port, separated by commas.
        security: how to connect to them.
        partitions: of the topic.
        told: called on the event loop.
    """
    while True:
        # No group: everybody reads everything, and nothing is committed.
        consumer = AIOKafkaConsumer(
            bootstrap_servers=brokers,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            **security.arguments,
        )
        try:
            await consumer.start()
            consumer.assign(
                [TopicPartition(topics.RUN_EVENTS, number) for number in range(partitions)]
            )
            await consumer.seek_to_end()
            while True:
                for batch in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                    for record in batch:
                        _tell(record.value or b"", told)
        except (KafkaError, OSError) as error:
            log.warning(
                "run events are not heard for a moment", reason=str(error) or type(error).__name__
            )
        finally:
            await asyncio.gather(consumer.stop(), return_exceptions=True)
        await asyncio.sleep(_AGAIN_SECONDS)


def _tell(data: bytes, told: Callable[[history_pb2.RunEvents], None]) -> None:
    try:
        record = history_pb2.RunEvents.FromString(data)
    except DecodeError as error:
        log.warning("a record of run-events is none", reason=str(error))
        return
    told(record)
