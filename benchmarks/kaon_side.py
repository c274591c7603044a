"""Our side: Kafka, one coordinator and runners as processes, and a client over gRPC."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import time_ns
from types import ModuleType, TracebackType
from typing import Any, NamedTuple, Self

import grpc

from kaon import Workflow
from kaon.client.channel import connect
from kaon_local.ports import free_port
from kaon_local.secure.people import USUAL
from kaon_local.system import System, SystemConfig, closed_in
from kaon_wire import canonical
from kaon_wire.channels import ChannelSecurity
from kaonapi.run.v1 import run_pb2, run_service_pb2, run_service_pb2_grpc
from kaonapi.workflow.v1 import workflow_service_pb2, workflow_service_pb2_grpc

_FLOWS = Path(__file__).parent / "flows" / "workflows.py"
_SECONDS = 120


class KaonSide:
    """See `benchmarks.side.Side`.

    Args:
        state: where everything is written.
        durability: "synchronous" or "relaxed".
        runners, slots: how many runners, and steps that each executes at once.
        closed: everybody authenticates, every line is encrypted, leases are signed, and changes are recorded.
    """

    def __init__(
        self, state: Path, *, durability: str, runners: int, slots: int, closed: bool = False
    ) -> None:
        self.name = f"kaon {'closed' if closed else durability}"
        self._closed = (
            closed_in(state, environment_file=state / "secure.env", issuer_port=free_port())
            if closed
            else None
        )
        self.system = System(
            SystemConfig(
                state=state,
                runners=runners,
                slots=slots,
                engines=False,
                docker=False,
                publisher=False,
                env={"KAON_DURABILITY": durability},
                closed=self._closed,
            )
        )
        self._runs: list[str] = []

    def __enter__(self) -> Self:
        self.system.start()
        self._channel = self._connect()
        self._stub = run_service_pb2_grpc.RunServiceStub(self._channel)
        self._versions = {
            shape: self._register(flow) for shape, flow in _load(_FLOWS).SHAPES.items()
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()
        self.system.stop()

    def call(self) -> None:
        """See `Side.call`."""
        self._stub.ListRuns(run_service_pb2.ListRunsRequest(page_size=1), timeout=_SECONDS)

    def submit(self, shape: str, ledger: Path, runs: Sequence[str], count: int = 1) -> int:
        """See `Side.submit`."""
        requests = [self._request(shape, ledger, run, count) for run in runs]
        began = time_ns()
        answers = [self._stub.SubmitRun.future(request, timeout=_SECONDS) for request in requests]
        self._runs += [answer.result().run.run_id for answer in answers]
        return began

    def settle(self) -> None:
        """See `Side.settle`."""
        runs, self._runs = self._runs, []
        for run_id in runs:
            # Not by GetRun, whose answer has every step: for 100,000 it is larger than a client of gRPC takes.
            watched = self._stub.WatchRun(
                run_service_pb2.WatchRunRequest(run_id=run_id), timeout=_SECONDS
            )
            ends = [
                answer.event.run_ended for answer in watched if answer.event.HasField("run_ended")
            ]
            if [end.status for end in ends] != [run_pb2.STATUS_SUCCEEDED]:
                raise RuntimeError(f"run {run_id} did not succeed: {ends}")

    def parts(self) -> Mapping[str, Sequence[int]]:
        """See `Side.parts`."""
        system = self.system
        parts = {"broker": system.kafka.pids, "coordinator": system.coordinator.pids}
        return parts | {"runners": [pid for runner in system.runners for pid in runner.pids]}

    def _connect(self) -> grpc.Channel:
        if self._closed is None:
            return grpc.insecure_channel(self.system.api)
        security = ChannelSecurity(tls=True, ca=self._closed.files.ca)
        bearer = f"Bearer {self._closed.tokens[USUAL.variable]}"
        return grpc.intercept_channel(connect(self.system.api, security), _Shown(bearer))

    def _register(self, workflow: Workflow) -> tuple[str, str]:
        stub = workflow_service_pb2_grpc.WorkflowServiceStub(self._channel)
        bundle = workflow.bundle()
        upload = workflow_service_pb2.UploadBundleRequest(digest=bundle.digest, data=bundle.data)
        stub.UploadBundle(iter([upload]))
        definition = workflow.definition()
        request = workflow_service_pb2.RegisterWorkflowRequest(definition=definition)
        return workflow.name, stub.RegisterWorkflow(request).workflow.version

    def _request(
        self, shape: str, ledger: Path, run: str, count: int
    ) -> run_service_pb2.SubmitRunRequest:
        name, version = self._versions[shape]
        params = {"ledger": str(ledger), "run": run}
        given = params | ({"count": count} if shape in {"fan-out", "foreach"} else {})
        return run_service_pb2.SubmitRunRequest(
            workflow=name,
            version=version,
            params_json={key: canonical.dumps(value) for key, value in given.items()},
        )


class _Shown(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
):
    """Shows a token with every call."""

    def __init__(self, bearer: str) -> None:
        self._metadata = (("authorization", bearer),)

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        """Add the token."""
        return continuation(self._told(details), request)

    intercept_unary_stream = intercept_stream_unary = intercept_unary_unary

    def _told(self, details: Any) -> Any:
        return _Details(
            details.method,
            details.timeout,
            (*(details.metadata or ()), *self._metadata),
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )


class _Details(NamedTuple):
    """What gRPC asks of the details of a call."""

    method: str
    timeout: float | None
    metadata: tuple[tuple[str, str], ...]
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


def _load(path: Path) -> ModuleType:
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location("bench_workflows", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(path.parent))
