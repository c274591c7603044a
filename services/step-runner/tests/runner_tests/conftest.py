"""Fixtures of the runner's tests: one real Kafka for all of them, and runners over memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaon_local.kafka import Kafka, KafkaConfig
from kaon_wire.topics import Catalogue

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the helpers beside the tests


@pytest.fixture(autouse=True)
def _test_code_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps without a code bundle find the tests' functions by PYTHONPATH."""
    monkeypatch.setenv("PYTHONPATH", str(HERE / "code"))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A real broker with all topics."""
    config = KafkaConfig(state=tmp_path_factory.mktemp("kafka"), topics=Catalogue().topics())
    broker = Kafka(config)
    broker.start()
    yield broker
    # Nobody uses its data again.
    broker.kill()
