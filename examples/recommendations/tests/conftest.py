"""What the example's tests share: its code on the path, the real data, and servers for its Hive and Spark steps."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaon_local.fetch import movielens
from kaon_local.ports import free_port
from kaon_local.secure.engines import EngineFiles, EnginesConfig, EnginesGateway
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
    """A server for Hive and Spark steps, over local files. It believes every name, and speaks to the gateway."""
    config = SparkConfig(
        state=tmp_path_factory.mktemp("spark"), hive_http=True, ui_port=free_port()
    )
    server = SparkServer(config)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, spark: SparkServer
) -> Iterator[EnginesGateway]:
    """What stands before the server: TLS, and a token of each tenant."""
    state = tmp_path_factory.mktemp("gateway")
    files = EngineFiles(directory=state / "access", tenants=("default", "other"))
    server = EnginesGateway(EnginesConfig(state=state, files=files, spark=spark.config))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def engine_tokens(gateway: EnginesGateway) -> dict[str, str]:
    """The tokens by their tenants."""
    lines = gateway.config.files.tokens.read_text().splitlines()
    return dict(line.split() for line in lines)  # type: ignore[misc]


@pytest.fixture(scope="session")
def engines(gateway: EnginesGateway, engine_tokens: dict[str, str]) -> dict[str, str]:
    """What a step of the tenant is told of the servers."""
    return {
        **gateway.endpoints(),
        "SPARK_CONNECT_MODE_ENABLED": "1",
        "KAON_ENGINES_CA": str(gateway.config.files.ca),
        "KAON_ENGINE_TOKEN": engine_tokens["default"],
    }
