"""Backends for the transport's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kaon_local.kafka import Kafka

from .backends import Backend, KafkaBackend, MemoryBackend, broker_in, emptied


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker that the tests of a file use one after the other; none of them stops it."""
    broker = broker_in(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


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
async def kafka(tmp_path: Path) -> AsyncIterator[KafkaBackend]:
    """A broker of the test's own, for faults."""
    broker = broker_in(tmp_path)
    found = KafkaBackend(broker)
    yield found
    await found.close()
    broker.stop()
