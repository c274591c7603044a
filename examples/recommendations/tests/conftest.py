"""What the example's tests share: its code on the path, the real data, and servers for its Hive and Spark steps."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaon_local.fetch import movielens
from kaon_local.spark import SparkConfig, SparkServer

HERE = Path(__file__).parent
sys.path[:0] = [
    str(HERE.parent),
    str(HERE),
]  # the steps' modules, as their code bundle has them, and the helper


@pytest.fixture(scope="session")
def data() -> Path:
    """The directory with MovieLens 100k."""
    return movielens()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkServer]:
    """A server for Hive and Spark steps, over local files."""
    server = SparkServer(SparkConfig(state=tmp_path_factory.mktemp("spark")))
    server.start()
    yield server
    server.stop()
