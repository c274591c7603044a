"""Backends for the transport's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .backends import Backend, KafkaBackend, MemoryBackend


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.real)])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    """Each test that uses it runs on both backends."""
    found: Backend = MemoryBackend() if request.param == "memory" else KafkaBackend(tmp_path)
    yield found
    await found.close()


@pytest.fixture
async def kafka(tmp_path: Path) -> AsyncIterator[KafkaBackend]:
    """A real broker, for faults that only it has."""
    found = KafkaBackend(tmp_path)
    yield found
    await found.close()
