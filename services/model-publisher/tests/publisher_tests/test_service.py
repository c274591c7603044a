"""The whole publisher as a process, killed at will; with a Docker engine and a registry where there are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
import grpc
import pytest
from kafka import KafkaConsumer

from kaon_artifacts import ArtifactStore
from kaon_local.base_image import ensure_base
from kaon_local.docker_engine import DockerConfig, DockerEngine
from kaon_local.kafka import Kafka, KafkaConfig
from kaon_local.ports import free_port
from kaon_local.probes import grpc_serving
from kaon_local.registry import Registry, RegistryConfig
from kaon_local.server import wait_until
from kaon_local.system import can_have_docker, docker_state
from kaon_publisher.checking import EXPIRY_LABEL
from kaon_wire.topics import MODEL_EVENTS, Catalogue
from kaonapi.model.v1 import model_pb2, model_pb2_grpc

from .models import CRASHING, write_model

# A consumer switches within this time.
SWITCH_SECONDS = 5.0

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


class Publisher:
    """One publisher process, which dies where it is told to; start it again after that. Tests that share one have a tenant each."""

    def __init__(self, state: Path, **env: str) -> None:
        self.state = state
        self._orders = state / "orders"
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
        self.state.mkdir(exist_ok=True)
        self._orders.unlink(missing_ok=True)
        program = Path(__file__).with_name("dying.py")
        self.process = subprocess.Popen([sys.executable, program, self._orders], env=self.env)

        def alive() -> None:
            assert self.process.poll() is None, "the publisher has ended"

        try:
            wait_until(lambda: grpc_serving(self.address), alive, seconds=120)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.channel = grpc.insecure_channel(self.address)
        self.stub = model_pb2_grpc.ModelServiceStub(self.channel)

    def end(self) -> int:
        self.channel.close()
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(20)

    def dies(self, moment: str, call: str) -> None:
        """Has it die before or after a call. A test that failed may have left it dead."""
        if self.process.poll() is not None:
            self.start()
        self._orders.write_text(f"{moment} {call}")

    def revive(self) -> None:
        """Awaits that it died as it was told, and starts it again."""
        assert self.process.wait(20) == -signal.SIGKILL
        self.channel.close()
        self.start()

    def request(self, model: Path, key: str = "k") -> model_pb2.PublishModelRequest:
        artifact = self.artifacts.put_directory(model, "model")
        return model_pb2.PublishModelRequest(
            model="m",
            artifact_uri=artifact.uri,
            artifact_digest=artifact.digest,
            idempotency_key=key,
        )

    def publish(
        self, request: model_pb2.PublishModelRequest, tenant: str = "default"
    ) -> model_pb2.PublishModelResponse:
        return list(self.stub.PublishModel(request, metadata=of(tenant)))[-1]

    def announcements(
        self, tenant: str, after: int = 0, count: int = 1
    ) -> list[model_pb2.Announcement]:
        watch = self.stub.WatchModels(
            model_pb2.WatchModelsRequest(consumer="c", after_cursor=after), metadata=of(tenant)
        )
        found = [next(watch).announcement for _ in range(count)]
        watch.cancel()
        return found


def of(tenant: str) -> tuple[tuple[str, str]]:
    """What a call says of its tenant."""
    return (("kaon-tenant", tenant),)


@contextmanager
def running(publisher: Publisher) -> Iterator[Publisher]:
    publisher.start()
    try:
        yield publisher
    finally:
        if publisher.process.poll() is None:
            publisher.end()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    """A publisher without a broker, which tests kill."""
    with running(Publisher(tmp_path_factory.mktemp("alone") / "state")) as publisher:
        yield publisher


def test_the_artifacts_that_a_record_names_outlive_the_run_that_made_them(
    tmp_path: Path, alone: Publisher
) -> None:
    before = alone.artifacts.marks.pinned()
    request = alone.request(write_model(tmp_path / "model", tolerance_note="lineage"))
    data = alone.artifacts.put_bytes(b"ratings")
    elsewhere = "sha256:" + "0" * 64
    request.lineage.data_digests.extend([data.digest, elsewhere, "not a digest"])
    assert alone.publish(request, "lineage").version.version == 1
    kept = {request.artifact_digest, data.digest}
    assert alone.artifacts.marks.pinned() - before == {
        digest.removeprefix("sha256:") for digest in kept
    }


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


def test_a_watcher_resumes_after_what_it_acknowledged(tmp_path: Path, alone: Publisher) -> None:
    for number in range(3):
        model = write_model(tmp_path / "model", tolerance_note=f"resumed {number}")
        alone.publish(alone.request(model, key=f"k{number}"), "resumed")
    first, second = alone.announcements("resumed", count=2)
    alone.stub.AcknowledgeModel(
        model_pb2.AcknowledgeModelRequest(consumer="c", cursor=first.cursor), metadata=of("resumed")
    )
    assert alone.announcements("resumed", after=-1)[0].cursor == second.cursor
    asked = model_pb2.GetModelRequest(model="m", version=1)
    got = alone.stub.GetModel(asked, metadata=of("resumed"))
    assert [pickup.consumer for pickup in got.pickups] == ["c"]


@pytest.mark.parametrize(
    ("call", "moment", "recorded"),
    [
        ("assemble", "before", 0),
        ("assemble", "after", 0),
        ("begin", "after", 0),
        ("push", "before", 0),
        ("push", "after", 0),
        ("pin", "after", 0),
        # Both rows are written, but not committed.
        ("write", "after", 0),
        # Recorded and announced, but nobody was told.
        ("commit", "after", 1),
    ],
)
def test_killed_between_any_two_stages_the_model_is_announced_once(
    tmp_path: Path, alone: Publisher, call: str, moment: str, recorded: int
) -> None:
    tenant = f"{call}-{moment}"
    alone.dies(moment, call)
    request = alone.request(write_model(tmp_path / "model", tolerance_note=tenant))
    with pytest.raises(grpc.RpcError):
        alone.publish(request, tenant)
    alone.revive()
    listed = alone.stub.ListModels(model_pb2.ListModelsRequest(model="m"), metadata=of(tenant))
    assert len(listed.versions) == recorded
    once, again = (alone.publish(request, tenant).version for _ in range(2))
    assert once == again
    # A second model ends the watch: between the two there must be nothing else.
    write_model(tmp_path / "model", tolerance_note=f"{tenant}, another")
    other = alone.publish(alone.request(tmp_path / "model", key="other"), tenant).version
    digests = [each.version.image_digest for each in alone.announcements(tenant, count=2)]
    assert digests == [once.image_digest, other.image_digest]
    assert (once.version, other.version) == (1, 2)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker with an empty topic."""
    broker = Kafka(KafkaConfig(state=tmp_path_factory.mktemp("kafka"), topics=Catalogue().topics()))
    broker.start()
    yield broker
    # Nobody uses its data again.
    broker.kill()


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory, kafka: Kafka) -> Iterator[Publisher]:
    """A publisher that tells the broker, which tests kill."""
    state = tmp_path_factory.mktemp("telling") / "state"
    with running(Publisher(state, KAON_KAFKA=kafka.address)) as publisher:
        yield publisher


def told(kafka: Kafka, tenant: str, until: int) -> list[int]:
    """The cursors of a tenant's announcements in the topic, in order, the first time that `until` is there."""
    consumer = KafkaConsumer(
        MODEL_EVENTS, bootstrap_servers=kafka.address, auto_offset_reset="earliest"
    )
    found: list[int] = []
    deadline = time.monotonic() + 30
    while until not in found:
        assert time.monotonic() < deadline, f"announcement {until} is not in the topic: {found}"
        for records in consumer.poll(timeout_ms=500).values():
            said = [model_pb2.Announcement.FromString(record.value) for record in records]
            found += [each.cursor for each in said if each.version.tenant == tenant]
    consumer.close()
    return found


# How often the first one is told: whether a broker has it is not known when its acknowledgement was not written down.
@pytest.mark.parametrize(
    ("call", "moment", "times"),
    [("send", "before", 1), ("send", "after", 2), ("mark", "before", 2), ("mark", "after", 1)],
)
def test_killed_while_it_tells_the_broker_every_announcement_is_told_in_order(
    tmp_path: Path, kafka: Kafka, telling: Publisher, call: str, moment: str, times: int
) -> None:
    tenant = f"{call}-{moment}"
    telling.dies(moment, call)
    request = telling.request(write_model(tmp_path / "model", tolerance_note=tenant))
    # It is recorded before it is told: the answer may still come.
    with suppress(grpc.RpcError):
        telling.publish(request, tenant)
    telling.revive()
    again = telling.publish(request, tenant).version
    write_model(tmp_path / "model", tolerance_note=f"{tenant}, another")
    other = telling.publish(telling.request(tmp_path / "model", key="other"), tenant).version
    assert (again.version, other.version) == (1, 2)
    assert told(kafka, tenant, until=2) == [1] * times + [2]


def test_killed_after_a_rollback_was_recorded_consumers_switch_soon_and_once(
    tmp_path: Path, alone: Publisher
) -> None:
    tenant = "back-and-dead"
    alone.dies("after", "roll")
    for key in ("one", "two"):
        write_model(tmp_path / "model", tolerance_note=f"{tenant}, {key}")
        alone.publish(alone.request(tmp_path / "model", key=key), tenant)
    asked = model_pb2.RollbackModelRequest(model="m", from_version=2)
    with pytest.raises(grpc.RpcError):
        alone.stub.RollbackModel(asked, metadata=of(tenant))
    alone.revive()
    began = time.monotonic()
    assert [each.version.version for each in alone.announcements(tenant, after=2)] == [1]
    assert time.monotonic() - began < SWITCH_SECONDS
    # The caller who got no answer asks again, and goes back no further.
    assert alone.stub.RollbackModel(asked, metadata=of(tenant)).announcement.cursor == 3


def test_a_watching_consumer_hears_of_a_rollback_within_seconds(
    tmp_path: Path, alone: Publisher
) -> None:
    tenant = "back"
    for key in ("one", "two"):
        write_model(tmp_path / "model", tolerance_note=f"{tenant}, {key}")
        alone.publish(alone.request(tmp_path / "model", key=key), tenant)
    watch = alone.stub.WatchModels(
        model_pb2.WatchModelsRequest(consumer="shop", after_cursor=1), metadata=of(tenant)
    )
    assert next(watch).announcement.version.version == 2
    began = time.monotonic()
    asked = model_pb2.RollbackModelRequest(model="m", from_version=2)
    alone.stub.RollbackModel(asked, metadata=of(tenant))
    assert next(watch).announcement.version.version == 1
    took = time.monotonic() - began
    watch.cancel()
    print(f"FIGURES rollback: heard after {took * 1000:.0f} ms")
    assert took < SWITCH_SECONDS


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    """A publisher for what is refused: nothing is ever published."""
    with running(Publisher(tmp_path_factory.mktemp("empty") / "state")) as publisher:
        yield publisher


def test_a_bad_request_and_a_missing_artifact_are_rejected_by_name(
    tmp_path: Path, empty: Publisher
) -> None:
    request = empty.request(write_model(tmp_path / "model"))
    lacking = model_pb2.PublishModelRequest(model="m", idempotency_key="x")
    assert "artifact_uri" in empty.publish(lacking).message
    kept = request.artifact_digest
    for wrong in (kept[:-4] + "0000", kept.upper(), "../../etc/passwd"):
        request.artifact_digest = wrong
        rejected = empty.publish(request)
        assert rejected.stage == model_pb2.STAGE_REJECTED
        assert wrong.removeprefix("sha256:") in rejected.message


@pytest.mark.parametrize("name", ["../../../escape", "Upper", "a/b", "-a", "a" * 101])
def test_names_that_could_lead_elsewhere_are_refused(
    tmp_path: Path, empty: Publisher, name: str
) -> None:
    request = empty.request(write_model(tmp_path / "model"))
    request.model = name
    last = list(empty.stub.PublishModel(request))[-1]
    assert last.stage == model_pb2.STAGE_REJECTED
    assert "is no name" in last.message
    request.model = "m"
    with pytest.raises(grpc.RpcError) as refused:
        empty.publish(request, name)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not (empty.state / "layouts").exists()


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


@pytest.fixture(scope="module")
def with_engine(
    tmp_path_factory: pytest.TempPathFactory, engine: DockerEngine
) -> Iterator[Publisher]:
    """A publisher with an engine and a registry."""
    state = tmp_path_factory.mktemp("engine")
    client = docker.DockerClient(base_url=engine.config.url, timeout=300)
    base = ensure_base(client)
    client.close()
    registry = Registry(RegistryConfig(state=state / "registry"))
    registry.start()
    env = {
        "KAON_SERVING_BASE": base,
        "KAON_REGISTRY": registry.address,
        "DOCKER_HOST": engine.config.url,
    }
    try:
        with running(Publisher(state, **env)) as publisher:
            yield publisher
    finally:
        registry.stop()


def running_checks(client: docker.DockerClient) -> set[str]:
    """Ids of the engine's containers in which models are checked, whoever started them."""
    return {
        str(each.id) for each in client.containers.list(all=True, filters={"name": "kaon-check"})
    }


def test_an_image_is_run_asked_and_pushed_by_its_own_digest(
    with_engine: Publisher, engine: DockerEngine, tmp_path: Path
) -> None:
    client = docker.DockerClient(base_url=engine.config.url)
    # An engine that others use too may hold images and containers of its own.
    before = {tag for each in client.images.list("kaon/model-check") for tag in each.tags}
    others = running_checks(client)
    began = time.monotonic()
    last = with_engine.publish(with_engine.request(write_model(tmp_path / "model")))
    print(f"published in {time.monotonic() - began:.2f} s")
    assert last.stage == model_pb2.STAGE_ANNOUNCED, last.message
    assert last.version.verification == model_pb2.VERIFICATION_RUN_IN_CONTAINER
    assert last.version.image_reference.endswith(last.version.image_digest)
    client.api.pull(last.version.image_reference)
    # Another publisher's checks end by themselves; what is left of ours would stay.
    deadline = time.monotonic() + 30
    while left := running_checks(client) - others:
        assert time.monotonic() < deadline, f"containers are left: {left}"
        time.sleep(0.2)
    assert set(client.images.get(last.version.image_reference).tags) <= before
    client.close()


def test_what_a_killed_publisher_left_in_the_engine_is_removed_when_its_time_is_over(
    with_engine: Publisher, engine: DockerEngine, tmp_path: Path
) -> None:
    client = docker.DockerClient(base_url=engine.config.url)
    expiry = {"old": int(time.time()) - 1, "busy": int(time.time()) + 60}
    left = {
        name: client.containers.create(
            with_engine.env["KAON_SERVING_BASE"], ["true"], labels={EXPIRY_LABEL: str(until)}
        )
        for name, until in expiry.items()
    }
    try:
        model = write_model(tmp_path / "model", tolerance_note="another")
        assert with_engine.publish(with_engine.request(model), "removing").version.version == 1
        alive = {
            each.id for each in client.containers.list(all=True, filters={"label": EXPIRY_LABEL})
        }
        assert left["busy"].id in alive
        assert left["old"].id not in alive
    finally:
        left["busy"].remove(force=True)
        client.close()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"expected": {"y": 5.0}}, "answer.y is 4.0, expected 5.0"),
        ({"code": CRASHING}, "no weights"),
    ],
)
def test_a_model_that_does_not_do_what_it_says_is_rejected(
    with_engine: Publisher, tmp_path: Path, changes: dict[str, object], text: str
) -> None:
    model = write_model(tmp_path / "model", **changes)  # type: ignore[arg-type]
    last = with_engine.publish(with_engine.request(model), "rejected")
    assert last.stage == model_pb2.STAGE_REJECTED
    assert text in last.message
    listed = with_engine.stub.ListModels(model_pb2.ListModelsRequest(), metadata=of("rejected"))
    assert list(listed.versions) == []
