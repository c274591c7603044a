"""Publish steps with a real publisher; without a Docker engine, which it does not need for an OCI layout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from engines import artifact, error, outputs, platform_error, progress, run, soon, user_error
from harness import MemorySystem, request

from kaon_local import probes
from kaon_local.ports import HOST, free_port
from kaon_local.service import Service, ServiceConfig
from kaon_runner.children import publish
from kaonapi.model.v1 import model_pb2, model_pb2_grpc
from kaonapi.step.v1 import step_pb2

pytestmark = pytest.mark.real
SERVE = "class Model:\n    def __init__(self, path): pass\n    def predict(self, request): return {'y': request['x'] * 2.0}\n"
RESULTS = {"version": "int", "digest": "string", "reference": "string"}


def _publisher(state: Path, store: str) -> Service:
    address = f"{HOST}:{free_port()}"
    env = {
        "KAON_PUBLISHER_ADDRESS": address,
        "KAON_PUBLISHER_DATABASE": f"sqlite:///{state}/models.db",
        "KAON_PUBLISHER_LAYOUTS": str(state / "layouts"),
        "KAON_ARTIFACTS": store,
        "KAON_KAFKA": "",
        "KAON_REGISTRY": "",
        "KAON_SERVING_BASE": "",
    }
    return Service(
        ServiceConfig(
            name="publisher",
            state=state,
            module="kaon_publisher",
            probe=partial(probes.grpc_serving, address),
            env=env,
            endpoints={"KAON_PUBLISHER": address},
        )
    )


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """Not started."""
    place = tmp_path_factory.mktemp("publishing")
    return _publisher(place / "publisher", (place / "store").as_uri())


@pytest.fixture(scope="module")
def started(publisher: Service) -> Iterator[Service]:
    publisher.start()
    yield publisher
    publisher.stop()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, publisher: Service) -> Iterator[MemorySystem]:
    with MemorySystem(
        tmp_path_factory.mktemp("runner"),
        publisher=publisher.config.endpoints["KAON_PUBLISHER"],
        artifacts=publisher.config.env["KAON_ARTIFACTS"],
    ) as running:
        yield running


def _model(directory: Path, description: str) -> Path:
    directory.mkdir()
    (directory / "serve.py").write_text(SERVE)
    (directory / "kaon-model.json").write_text(description)
    return directory


@pytest.fixture
def model(tmp_path: Path) -> Path:
    probe = {"request": {"x": 2}, "expected": {"y": 4.0}}
    return _model(
        tmp_path / "model", json.dumps({"format": 1, "entry": "serve:Model", "probe": probe})
    )


def _wanted(
    system: MemorySystem, model: Path, path: str, data: Path | None = None
) -> step_pb2.StepRequest:
    inputs = {"model": artifact(system, model, "model"), "metrics": {"rmse": 0.9}}
    if data is not None:
        inputs["data"] = [artifact(system, data, "dataset")]
    made = request("publish", {"model_name": "doubling"}, inputs=inputs, outputs=RESULTS, path=path)
    made.spec.workflow_version = "sha256:1"
    return made


def test_a_model_gets_a_version_and_keeps_where_it_comes_from(
    system: MemorySystem, started: Service, model: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.write_text("ratings")
    wanted = _wanted(system, model, "publish", data)
    found = outputs(run(system, wanted))
    assert found["version"] >= 1
    assert found["digest"].startswith("sha256:")
    assert progress(system, wanted)[-1] == "announced"
    with grpc.insecure_channel(started.config.endpoints["KAON_PUBLISHER"]) as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        asked = model_pb2.GetModelRequest(model="doubling", version=found["version"])
        kept = stub.GetModel(asked).version
    assert (kept.lineage.run_id, kept.lineage.step, kept.lineage.workflow) == (
        "run-1",
        "publish",
        "test",
    )
    assert kept.lineage.workflow_version == wanted.spec.workflow_version == "sha256:1"
    assert list(kept.lineage.data_digests) == [
        json.loads(wanted.spec.inputs_json["data"])[0]["artifact"]["digest"]
    ]
    assert dict(kept.metrics) == {"rmse": 0.9}


def test_a_second_attempt_gets_the_same_version_and_another_step_a_new_one(
    system: MemorySystem, started: Service, model: Path
) -> None:
    first = outputs(run(system, _wanted(system, model, "twice")))
    again = _wanted(system, model, "twice")
    again.key.attempt, again.key.generation = 2, 2
    assert outputs(run(system, again)) == first
    assert outputs(run(system, _wanted(system, model, "other")))["version"] > first["version"]


def test_a_refused_model_is_the_users_with_the_reason(
    system: MemorySystem, started: Service, tmp_path: Path
) -> None:
    bad = _model(tmp_path / "bad", '{"format": 1}')
    assert "rejected: kaon-model.json is not of the form" in user_error(
        run(system, _wanted(system, bad, "bad"))
    )


def test_metrics_must_be_numbers(system: MemorySystem, started: Service, model: Path) -> None:
    wanted = _wanted(system, model, "words")
    wanted.spec.inputs_json["metrics"] = '{"rmse": "low"}'
    assert "metrics ['rmse'] are no numbers" in user_error(run(system, wanted))


def test_a_model_must_be_an_artifact(system: MemorySystem) -> None:
    wanted = request(
        "publish", {"model_name": "doubling"}, inputs={"model": "text"}, outputs=RESULTS
    )
    failed = error(run(system, wanted))
    assert (failed.error_class, failed.type) == (step_pb2.ERROR_CLASS_USER, "InvalidInput")


def test_a_publisher_that_comes_back_in_time_is_waited_for(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, model: Path
) -> None:
    store = (tmp_path / "store").as_uri()
    late = _publisher(tmp_path / "late", store)
    address = late.config.endpoints["KAON_PUBLISHER"]
    with MemorySystem(tmp_path / "runner", publisher=address, artifacts=store) as system:
        wanted = _wanted(system, model, "late")
        system.release(wanted)
        soon(
            lambda: "the publisher does not answer, trying again" in progress(system, wanted),
            20,
            "it tries",
        )
        late.start()
        try:
            assert outputs(system.final(wanted.key, 40))["version"] == 1
        finally:
            late.stop()


def test_a_publisher_that_stays_away_is_a_fault_of_the_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    monkeypatch.setenv(publish.PATIENCE_VARIABLE, "2")
    with MemorySystem(tmp_path / "runner", publisher=f"{HOST}:{free_port()}") as system:
        assert "does not answer" in platform_error(run(system, _wanted(system, model, "away")))
