"""The real engines, each started once: HDFS, a Spark server with Hive, Docker."""

from __future__ import annotations

import io
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the helpers beside these tests

from harness import MemorySystem  # noqa: E402

from kaon_local.base_image import ensure_base  # noqa: E402
from kaon_local.docker_engine import DockerConfig, DockerEngine  # noqa: E402
from kaon_local.hdfs import Hdfs, HdfsConfig  # noqa: E402
from kaon_local.ports import free_port  # noqa: E402
from kaon_local.spark import SparkConfig, SparkServer  # noqa: E402
from kaon_local.system import can_have_docker, docker_state  # noqa: E402


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hdfs]:
    """A real HDFS."""
    server = Hdfs(HdfsConfig(state=tmp_path_factory.mktemp("hdfs")))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory, hdfs: Hdfs) -> Iterator[SparkServer]:
    """A real Spark server that speaks HiveServer2's protocol and Spark Connect's."""
    config = SparkConfig(state=tmp_path_factory.mktemp("spark"), hdfs=hdfs.uri, ui_port=free_port())
    server = SparkServer(config)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A client of a real Docker engine."""
    if not can_have_docker():
        assert not os.environ.get("CI"), "CI needs a Docker engine"
        reason = "no Docker engine answers, and none can be started here"
        print(reason)
        pytest.skip(reason)
    server = DockerEngine(DockerConfig(state=docker_state()))
    server.start()
    client = docker.DockerClient(base_url=server.config.url, timeout=60)
    yield client
    client.close()
    server.stop()


@pytest.fixture(scope="session")
def image(engine: docker.DockerClient) -> str:
    """An image with Python that the engine has."""
    return ensure_base(engine)


# Stands in for the images of examples, which are in a registry that not every machine reaches: a web server on ports 80 and 8080,
# and wget.
_WEB_SERVER = """FROM {base}
RUN printf '%s\\n' '#!/bin/sh' 'exec python3 -c "import sys, urllib.request as u; \\
open(sys.argv[2], \\"wb\\").write(u.urlopen(sys.argv[3]).read())" "$@"' > /usr/local/bin/wget && chmod +x /usr/local/bin/wget
RUN mkdir /page && echo 'Welcome' > /page/index.html
CMD ["sh", "-c", "for port in 80 8080; do python3 -m http.server --directory /page $port & done; wait"]
"""


@pytest.fixture(scope="session")
def web_server(engine: docker.DockerClient, image: str) -> Iterator[str]:
    """An image that stands in for that of a web server."""
    name = f"kaon-test-web:{uuid.uuid4().hex[:8]}"
    dockerfile = io.BytesIO(_WEB_SERVER.format(base=image).encode())
    engine.images.build(fileobj=dockerfile, tag=name, rm=True, network_mode="none")
    yield name
    engine.images.remove(name, force=True)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySystem]:
    """A runner that knows no servers."""
    with MemorySystem(tmp_path_factory.mktemp("plain")) as running:
        yield running


@pytest.fixture(scope="module")
def spark_system(
    tmp_path_factory: pytest.TempPathFactory, spark: SparkServer, hdfs: Hdfs
) -> Iterator[MemorySystem]:
    """A runner that knows the Spark server, and HDFS for scratch space."""
    with MemorySystem(
        tmp_path_factory.mktemp("spark-runner"),
        hive=spark.hive_address,
        spark_connect=spark.connect_url,
        scratch=f"{hdfs.uri}/kaon/scratch",
    ) as running:
        yield running


@pytest.fixture(scope="session")
def spark_ui(spark: SparkServer) -> str:
    """Where the Spark server's REST API answers."""
    return spark.endpoints()["KAON_SPARK_UI"]
