"""`python -m kaon_coordinator.create_topics`: creates missing topics, and exits.

Start it before coordinators and runners. It takes the coordinator's settings and KAON_MIN_ISR, the number of
copies that must have a record before it is acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from kaon_coordinator.settings import settings_from
from kaon_wire import topics
from kaon_wire.errors import KaonError, Unavailable

# How long brokers may take to start.
PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.5


async def create_topics(kafka: str, catalogue: topics.Catalogue, min_insync: int) -> list[str]:
    """Create missing topics and return their names; existing topics stay unchanged.

    Raises:
        Unavailable: No broker answers, or there are fewer brokers than copies.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await _create(kafka, catalogue, min_insync)
        except KafkaError as error:
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"the brokers at {kafka} cannot create topics: {error!r}"
                ) from error
            # A broker does not announce that it is ready.
            await asyncio.sleep(_PAUSE_SECONDS)


async def _create(kafka: str, catalogue: topics.Catalogue, min_insync: int) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        known = set(await admin.list_topics())
        missing = [topic for topic in catalogue.topics() if topic.name not in known]
        if missing:
            answer = await admin.create_topics(
                [_new(topic, catalogue.replication_factor, min_insync) for topic in missing]
            )
            for _, code, *_ in answer.topic_errors:
                if code and for_code(code) is not TopicAlreadyExistsError:
                    raise for_code(code)
        return [topic.name for topic in missing]
    finally:
        await admin.close()


def _new(topic: topics.Topic, copies: int, min_insync: int) -> NewTopic:
    config = {**topic.config, "min.insync.replicas": str(min_insync)}
    return NewTopic(
        name=topic.name,
        num_partitions=topic.partitions,
        replication_factor=copies,
        topic_configs=config,
    )


def main() -> int:
    """Create the topics. Exit codes: 0 all topics exist, 1 creation failed, 2 invalid settings."""
    try:
        settings = settings_from(os.environ)
        min_insync = int(os.environ.get("KAON_MIN_ISR", "1"))
    except (KaonError, ValueError) as error:
        print(f"create_topics: {error}", file=sys.stderr)
        return 2
    try:
        made = asyncio.run(create_topics(settings.kafka, settings.catalogue, min_insync))
    except KaonError as error:
        print(f"create_topics: {error}", file=sys.stderr)
        return 1
    print(f"{len(made)} topics created, {len(settings.catalogue.topics()) - len(made)} existed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
