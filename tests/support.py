"""What tests of the whole system share: submitting, waiting for what happens, and counting what was executed."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import grpc
import psutil

from kaon import Workflow
from kaon_wire import canonical
from kaonapi.run.v1 import history_pb2, run_pb2, run_service_pb2, run_service_pb2_grpc
from kaonapi.workflow.v1 import definition_pb2 as d
from kaonapi.workflow.v1 import workflow_service_pb2, workflow_service_pb2_grpc

if TYPE_CHECKING:
    from kaon_local.system import System

FLOWS = Path(__file__).parent / "flows"

# What a client sees of a coordinator that goes or is gone: it asks again, as the SDK does.
AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})


class Api:
    """The gRPC API as the tests use it: plain calls, so that every answer is seen as it was given.

    Args:
        address: host:port of the coordinator.
    """

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.max_reconnect_backoff_ms", 500),
                ("grpc.initial_reconnect_backoff_ms", 100),
            ],
        )
        self.runs = run_service_pb2_grpc.RunServiceStub(self.channel)
        self.workflows = workflow_service_pb2_grpc.WorkflowServiceStub(self.channel)

    def close(self) -> None:
        """Closes the connection."""
        self.channel.close()

    def register(self, workflow: Workflow, definition: d.WorkflowDefinition | None = None) -> str:
        """Uploads the code and registers the workflow's definition, or another one for its code; returns its version."""
        bundle = workflow.bundle()
        upload = workflow_service_pb2.UploadBundleRequest(digest=bundle.digest, data=bundle.data)
        self.workflows.UploadBundle(iter([upload]), wait_for_ready=True)
        request = workflow_service_pb2.RegisterWorkflowRequest(
            definition=definition or workflow.definition()
        )
        return self.workflows.RegisterWorkflow(request).workflow.version

    def submit(self, workflow: Workflow, key: str = "", **params: Any) -> str:
        """Registers and submits; returns the run's id. When this returns the run must never be lost."""
        version = self.register(workflow)
        return self.submit_version(workflow.name, version, key, **params)

    def submit_version(self, name: str, version: str, key: str = "", **params: Any) -> str:
        """Submits a registered version."""
        request = run_service_pb2.SubmitRunRequest(
            workflow=name,
            version=version,
            params_json={each: canonical.dumps(value) for each, value in params.items()},
            idempotency_key=key,
        )
        return self.runs.SubmitRun(request, wait_for_ready=True, timeout=60).run.run_id

    def get(self, run_id: str) -> run_service_pb2.GetRunResponse:
        """The run as it stands."""
        request = run_service_pb2.GetRunRequest(run_id=run_id)
        return self.runs.GetRun(request, wait_for_ready=True, timeout=60)

    def steps(self, run_id: str) -> dict[str, run_pb2.StepView]:
        """The run's steps by path."""
        return {step.path: step for step in self.get(run_id).steps}

    def cancel(self, run_id: str) -> None:
        """Asks the run to stop."""
        self.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id=run_id, reason="test"))

    def history(self, run_id: str, seconds: float = 120) -> Iterator[history_pb2.HistoryEvent]:
        """The run's events, old ones first, then live until the run ends. Goes on after the coordinator was away."""
        seq, deadline = 0, time.monotonic() + seconds
        while True:
            request = run_service_pb2.WatchRunRequest(run_id=run_id, after_seq=seq)
            try:
                left = max(0.1, deadline - time.monotonic())
                for response in self.runs.WatchRun(request, wait_for_ready=True, timeout=left):
                    if response.HasField("event"):
                        assert response.event.seq == seq + 1, "the stream has a gap or a duplicate"
                        seq = response.event.seq
                        yield response.event
                return
            except grpc.RpcError as error:
                if error.code() not in AWAY:  # type: ignore[attr-defined]
                    raise

    def wait(self, run_id: str, seconds: float = 120) -> run_pb2.Run:
        """The run, when it has ended."""
        for _ in self.history(run_id, seconds):
            pass
        return self.get(run_id).run

    def await_event(
        self, run_id: str, matches: Callable[[history_pb2.HistoryEvent], bool]
    ) -> history_pb2.HistoryEvent:
        """The first event of the run that matches."""
        for event in self.history(run_id):
            if matches(event):
                return event
        raise AssertionError(f"run {run_id} ended without the awaited event")

    def await_leased(self, run_id: str, step: str) -> history_pb2.StepLeased:
        """The first lease of a step whose path ends in `step`."""
        event = self.await_event(
            run_id,
            lambda each: each.HasField("step_leased") and each.step_leased.path.endswith(step),
        )
        return event.step_leased


def load(file: str, name: str = "workflow") -> Any:
    """An object of a workflow file under tests/flows."""
    path = FLOWS / file
    module = _load_module(path)
    return getattr(module, name)


def _load_module(path: Path) -> ModuleType:
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location(f"flow_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(path.parent))


def ledger_lines(ledger: Path) -> list[Mapping[str, Any]]:
    """What the executions of a workflow under test have noted."""
    return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


def until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Returns when the condition holds; fails after `seconds` with what was awaited."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether the process is there and is no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gauge(system: System, service: str, name: str) -> float:
    """What the metrics of a service say under names that begin so, summed up."""
    with urllib.request.urlopen(f"http://{system.metrics[service]}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))
