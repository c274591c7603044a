"""Backends for the transport's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from kaon_local.kafka import Kafka

from .backends import Backend, KafkaBackend, MemoryBackend, broker_in, emptied


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker that all these tests use one after the other."""
    broker = broker_in(tmp_path_factory.mktemp("broker"))
    yield broker
    # Nobody uses its data again.
    broker.kill()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.real)])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    """Each test that uses it runs on both backends."""
    if request.param == "memory":
        found: Backend = MemoryBackend()
    else:
        broker = request.getfixturevalue("broker")
        emptied(broker)
        found = KafkaBackend(broker)
    yield found
    await found.close()


@pytest.fixture
async def kafka(broker: Kafka) -> AsyncIterator[KafkaBackend]:
    """A broker that this test may stop: the next one finds it running and empty."""
    broker.start()
    emptied(broker)
    found = KafkaBackend(broker)
    yield found
    await found.close()
    broker.start()
