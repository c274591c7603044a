"""Artifacts in a real S3 server: coordinator, runners and publisher reach nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from s3fs import S3FileSystem
from support import Api, load

from kaon_artifacts import Artifact, ArtifactStore
from kaon_local.object_store import ObjectStore, ObjectStoreConfig
from kaon_local.system import System, SystemConfig
from kaon_wire import canonical
from kaonapi.run.v1 import run_pb2

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """The server, with an empty bucket."""
    server = ObjectStore(ObjectStoreConfig(state=tmp_path_factory.mktemp("object-store")))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def s3_system(
    object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """Kafka, coordinator, publisher and two runners that share nothing but the object store."""
    config = SystemConfig(
        state=tmp_path_factory.mktemp("system"),
        kept=False,
        engines=False,
        docker=False,
        env={**object_store.endpoints(), "KAON_ARTIFACTS": f"{object_store.uri}/artifacts"},
    )
    with System(config, report=print) as running:
        yield running


def test_a_model_goes_from_step_to_publisher_by_the_object_store(
    s3_system: System, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api = Api(s3_system.api)
    run_id = api.submit(load("containers/workflow.py", "publishing"), factor=3.0)
    run = api.wait(run_id)
    assert run.status == run_pb2.STATUS_SUCCEEDED, run
    outputs = api.steps(run_id)["make"].outputs_json
    model = Artifact.from_json(canonical.loads(outputs["model"])["artifact"])
    assert model.uri.startswith("s3://kaon/artifacts/sha256/")
    for name, value in object_store.endpoints().items():
        monkeypatch.setenv(name, value)
    # Other tests of this process may have used another server: a process keeps the one that it used first.
    S3FileSystem.clear_instance_cache()
    copy = ArtifactStore("s3://kaon/artifacts").fetch(model, tmp_path / "model")
    assert any(path.is_file() for path in copy.rglob("*"))
    assert not (s3_system.config.state / "artifacts").exists()
    api.close()


def test_a_step_waits_for_an_object_store_that_is_away(
    s3_system: System, object_store: ObjectStore
) -> None:
    api = Api(s3_system.api)
    workflow = load("containers/workflow.py", "publishing")
    version = api.register(workflow)
    object_store.kill()
    try:
        run_id = api.submit_version(workflow.name, version, factor=4.0)
        api.await_event(run_id, lambda event: event.HasField("step_retry_scheduled"))
    finally:
        object_store.start()
    assert api.wait(run_id).status == run_pb2.STATUS_SUCCEEDED
    api.close()


def test_no_password_is_in_what_is_committed() -> None:
    compose = Path(__file__).parents[2] / "docker-compose.yml"
    lines = [line.strip() for line in compose.read_text(encoding="utf-8").splitlines()]
    secrets = [
        line for line in lines if line.startswith(("AWS_SECRET_ACCESS_KEY:", "POSTGRES_PASSWORD:"))
    ]
    assert secrets
    assert all("${" in line for line in secrets)
