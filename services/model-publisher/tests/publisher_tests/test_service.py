"""The whole publisher as a process, killed at will; with a Docker engine and a registry where there are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import grpc
import pytest

from kaon_artifacts import ArtifactStore
from kaon_local.base_image import ensure_base
from kaon_local.docker_engine import DockerConfig, DockerEngine
from kaon_local.ports import free_port
from kaon_local.probes import grpc_serving
from kaon_local.registry import Registry, RegistryConfig
from kaon_local.server import wait_until
from kaon_local.system import can_have_docker, docker_state
from kaonapi.model.v1 import model_pb2, model_pb2_grpc

from .models import CRASHING, write_model

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


class Publisher:
    """One publisher process; start it again after killing it."""

    def __init__(self, state: Path, **env: str) -> None:
        self.state = state
        self.address = f"127.0.0.1:{free_port()}"
        self.env = os.environ | {
            "KAON_PUBLISHER_ADDRESS": self.address,
            "KAON_PUBLISHER_DATABASE": f"sqlite:///{state}/models.db",
            "KAON_PUBLISHER_LAYOUTS": str(state / "layouts"),
            "KAON_ARTIFACTS": (state / "artifacts").as_uri(),
            "KAON_KAFKA": "",
            "KAON_REGISTRY": "",
            "KAON_SERVING_BASE": "",
            **env,
        }
        self.artifacts = ArtifactStore(self.env["KAON_ARTIFACTS"])

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "kaon_publisher"], env=self.env)

        def alive() -> None:
            assert self.process.poll() is None, "the publisher has ended"

        wait_until(lambda: grpc_serving(self.address), alive, seconds=30)
        self.channel = grpc.insecure_channel(self.address)
        self.stub = model_pb2_grpc.ModelServiceStub(self.channel)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.channel.close()
        self.process.send_signal(number)
        return self.process.wait(20)

    def request(self, model: Path, key: str = "k") -> model_pb2.PublishModelRequest:
        artifact = self.artifacts.put_directory(model, "model")
        return model_pb2.PublishModelRequest(
            model="m", artifact_uri=artifact.uri, artifact_digest=artifact.digest, idempotency_key=key
        )

    def publish(self, request: model_pb2.PublishModelRequest) -> model_pb2.PublishModelResponse:
        return list(self.stub.PublishModel(request))[-1]

    def announcements(
        self, consumer: str = "c", after: int = 0, count: int = 1
    ) -> list[model_pb2.Announcement]:
        watch = self.stub.WatchModels(model_pb2.WatchModelsRequest(consumer=consumer, after_cursor=after))
        found = [next(watch).announcement for _ in range(count)]
        watch.cancel()
        return found


@contextmanager
def running(publisher: Publisher) -> Iterator[Publisher]:
    publisher.start()
    try:
        yield publisher
    finally:
        if publisher.process.poll() is None:
            publisher.end()


def test_without_an_engine_a_layout_is_announced_and_the_record_says_that_it_was_not_run(
    tmp_path: Path,
) -> None:
    with running(Publisher(tmp_path)) as publisher:
        last = publisher.publish(publisher.request(write_model(tmp_path / "model")))
        assert last.stage == model_pb2.STAGE_ANNOUNCED
        assert last.version.verification == model_pb2.VERIFICATION_NOT_RUN
        assert "no Docker engine" in last.version.verification_details
        layout = Path(last.version.image_reference.removeprefix("oci:").rpartition("@")[0])
        assert (layout / "oci-layout").exists()
        assert publisher.end() == 0


def test_a_bad_request_and_a_missing_artifact_are_rejected_by_name(tmp_path: Path) -> None:
    with running(Publisher(tmp_path)) as publisher:
        request = publisher.request(write_model(tmp_path / "model"))
        lacking = model_pb2.PublishModelRequest(model="m", idempotency_key="x")
        assert "artifact_uri" in publisher.publish(lacking).message
        request.artifact_uri = request.artifact_uri[:-4] + "0000"
        rejected = publisher.publish(request)
        assert rejected.stage == model_pb2.STAGE_REJECTED


def test_a_watcher_resumes_after_what_it_acknowledged(tmp_path: Path) -> None:
    with running(Publisher(tmp_path)) as publisher:
        for number in range(3):
            code = f"# {number}\n" + (write_model(tmp_path / "m") / "serve.py").read_text()
            publisher.publish(
                publisher.request(write_model(tmp_path / f"m{number}", code=code), key=f"k{number}")
            )
        first, second = publisher.announcements(count=2)
        publisher.stub.AcknowledgeModel(model_pb2.AcknowledgeModelRequest(consumer="c", cursor=first.cursor))
        assert publisher.announcements(after=-1)[0].cursor == second.cursor
        got = publisher.stub.GetModel(model_pb2.GetModelRequest(model="m", version=1))
        assert [pickup.consumer for pickup in got.pickups] == ["c"]


@pytest.mark.parametrize("stage", ["STAGE_ASSEMBLING", "STAGE_CHECKING", "STAGE_PUSHING", "STAGE_RECORDED"])
def test_killed_at_any_stage_the_model_is_announced_once_with_the_same_digest(
    tmp_path: Path, stage: str
) -> None:
    publisher = Publisher(tmp_path)
    publisher.start()
    request = publisher.request(write_model(tmp_path / "model"))
    stream = publisher.stub.PublishModel(request)
    for response in stream:
        if response.stage == model_pb2.Stage.Value(stage):
            publisher.process.send_signal(signal.SIGKILL)
            break
    publisher.end(signal.SIGKILL)
    with running(publisher):
        once, again = publisher.publish(request).version, publisher.publish(request).version
        assert once == again
        assert [each.version.image_digest for each in publisher.announcements()] == [once.image_digest]
        listed = publisher.stub.ListModels(model_pb2.ListModelsRequest(model="m")).versions
        assert [version.version for version in listed] == [1]


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    if not can_have_docker():
        assert not os.environ.get("CI"), "CI needs a Docker engine: .ci/run installs one"
        pytest.skip("no Docker engine answers here, and none can be started")
    engine = DockerEngine(DockerConfig(state=docker_state()))
    engine.start()
    yield engine
    if engine.ours:
        engine.stop()


@pytest.fixture
def with_engine(tmp_path: Path, engine: DockerEngine) -> Iterator[Publisher]:
    client = docker.DockerClient(base_url=engine.config.url, timeout=300)
    base = ensure_base(client)
    client.close()
    registry = Registry(RegistryConfig(state=tmp_path / "registry"))
    registry.start()
    env = {"KAON_SERVING_BASE": base, "KAON_REGISTRY": registry.address, "DOCKER_HOST": engine.config.url}
    try:
        with running(Publisher(tmp_path, **env)) as publisher:
            yield publisher
    finally:
        registry.stop()


def test_an_image_is_run_asked_and_pushed_by_its_own_digest(
    with_engine: Publisher, engine: DockerEngine, tmp_path: Path
) -> None:
    began = time.monotonic()
    last = with_engine.publish(with_engine.request(write_model(tmp_path / "model")))
    print(f"published in {time.monotonic() - began:.2f} s")
    assert last.stage == model_pb2.STAGE_ANNOUNCED, last.message
    assert last.version.verification == model_pb2.VERIFICATION_RUN_IN_CONTAINER
    assert last.version.image_reference.endswith(last.version.image_digest)
    client = docker.DockerClient(base_url=engine.config.url)
    client.api.pull(last.version.image_reference)
    assert client.containers.list(all=True, filters={"name": "kaon-check"}) == []
    client.close()


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"expected": {"y": 5.0}}, "answer.y is 4.0, expected 5.0"), ({"code": CRASHING}, "no weights")],
)
def test_a_model_that_does_not_do_what_it_says_is_rejected(
    with_engine: Publisher, tmp_path: Path, changes: dict[str, object], text: str
) -> None:
    last = with_engine.publish(with_engine.request(write_model(tmp_path / "model", **changes)))  # type: ignore[arg-type]
    assert last.stage == model_pb2.STAGE_REJECTED
    assert text in last.message
    assert list(with_engine.stub.ListModels(model_pb2.ListModelsRequest()).versions) == []
