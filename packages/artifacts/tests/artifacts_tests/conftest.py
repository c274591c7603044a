"""The places on which the same tests run: a directory, HDFS and an S3 server, the last two really running."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaon_artifacts import ArtifactStore
from kaon_local.hdfs import Hdfs, HdfsConfig
from kaon_local.object_store import ObjectStore, ObjectStoreConfig

# A directory whose name must be escaped in a URL.
ODD = "a b%20c#d"


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """An S3 server with an empty bucket."""
    server = ObjectStore(ObjectStoreConfig(state=tmp_path_factory.mktemp("object-store")))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hdfs]:
    """An empty HDFS."""
    server = Hdfs(HdfsConfig(state=tmp_path_factory.mktemp("hdfs")))
    server.start()
    yield server
    server.stop()


@pytest.fixture(
    params=[
        "file",
        pytest.param("s3", marks=pytest.mark.real),
        pytest.param("hdfs", marks=pytest.mark.real),
    ]
)
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ArtifactStore:
    """An empty store, once in each place."""
    if request.param == "file":
        return ArtifactStore((tmp_path / ODD / "store").as_uri())
    server = request.getfixturevalue("object_store" if request.param == "s3" else "hdfs")
    for name, value in server.endpoints().items():
        monkeypatch.setenv(name, value)
    return ArtifactStore(f"{server.uri}/{uuid.uuid4().hex}/store")


@pytest.fixture
def local_store(tmp_path: Path) -> ArtifactStore:
    """An empty store in a directory, for what only a directory can show."""
    return ArtifactStore((tmp_path / ODD / "store").as_uri())
