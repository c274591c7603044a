"""The small examples: each can be built, and each runs in one process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kaon import Workflow, load_workflow
from kaon.client import Client, Endpoints
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem
from kaonapi.run.v1 import run_pb2, run_service_pb2

EXAMPLES = Path(__file__).parents[1]
NAMES = ["gates", "hooks", "memo", "schedule", "subworkflow", "sweep", "tour"]

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Workflow]:
    """Loads the workflow of an example, and leaves no trace on the module path."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    return lambda name: load_workflow(EXAMPLES / name / "workflow.py")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSystem]:
    settings = EmbeddedSettings(state=tmp_path_factory.mktemp("examples"), slots=2)
    with EmbeddedSystem(settings) as system:
        yield system


@pytest.fixture
def client(system: EmbeddedSystem) -> Iterator[Client]:
    with Client(Endpoints(server=system.address, principal="ada", roles=("owner",))) as client:
        yield client


def ended(client: Client, run_id: str) -> run_service_pb2.GetRunResponse:
    """The run after its end."""
    for _ in client.watch(run_id):
        pass
    return client.run(run_id)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_can_be_built(load: Callable[[str], Workflow], name: str) -> None:
    workflow = load(name)
    assert workflow.definition().code_bundle == workflow.bundle().digest


@pytest.mark.parametrize(
    ("rows", "status", "hooks"),
    [
        (0, run_pb2.STATUS_FAILED, {"alert", "clean-up"}),
        (100, run_pb2.STATUS_SUCCEEDED, {"clean-up"}),
    ],
)
def test_hooks_run_after_a_failure_and_always(
    load: Callable[[str], Workflow],
    client: Client,
    rows: int,
    status: run_pb2.Status.ValueType,
    hooks: set[str],
) -> None:
    run = ended(client, client.submit(load("hooks"), {"rows": rows}).run.run_id)
    assert run.run.status == status
    succeeded = {step.path for step in run.steps if step.status == run_pb2.STATUS_SUCCEEDED}
    assert succeeded & {"alert", "clean-up"} == hooks
    (removed,) = [line.text for lines in client.logs(run.run.run_id, "clean-up") for line in lines.lines]
    assert removed == f"{run_pb2.Status.Name(status).removeprefix('STATUS_')}: removed temporary_{rows}"
