"""Our side: Kafka, one coordinator and runners as processes, and a client over gRPC."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from time import time_ns
from types import ModuleType, TracebackType
from typing import Any, NamedTuple, Self

import grpc

from kaon import Workflow
from kaon.client.channel import connect
from kaon_local.ports import free_port
from kaon_local.postgres import Postgres, temporary_postgres
from kaon_local.secure.people import USUAL
from kaon_local.system import System, SystemConfig, closed_in
from kaon_wire import canonical
from kaon_wire.channels import ChannelSecurity
from kaon_wire.topics import Catalogue
from kaonapi.run.v1 import history_pb2, run_pb2, run_service_pb2, run_service_pb2_grpc
from kaonapi.workflow.v1 import workflow_service_pb2, workflow_service_pb2_grpc

_FLOWS = Path(__file__).parent / "flows" / "workflows.py"
_SECONDS = 120
# Partitions for up to four coordinators.
_SHARED = Catalogue(run_partitions=4, pool_partitions=1, runner_partitions=4)


class KaonSide:
    """See `benchmarks.side.Side`.

    Args:
        state: where everything is written.
        durability: "synchronous" or "relaxed".
        runners, slots: how many runners, and steps that each executes at once.
        closed: everybody authenticates, every line is encrypted, leases are signed, and changes are recorded.
        coordinators: how many share the runs, over PostgreSQL and with partitions for four; 0: one that has its own SQLite file and
            as many partitions as one needs.
        apis: how many further processes answer all calls and own no partitions.
    """

    def __init__(
        self,
        state: Path,
        *,
        durability: str,
        runners: int,
        slots: int,
        closed: bool = False,
        coordinators: int = 0,
        apis: int = 0,
    ) -> None:
        self.name = f"kaon {'closed' if closed else durability}"
        if coordinators:
            self.name += f" of {coordinators}" + (f"+{apis}" if apis else "")
        self._closed = (
            closed_in(state, environment_file=state / "secure.env", issuer_port=free_port())
            if closed
            else None
        )
        self._config = SystemConfig(
            state=state,
            runners=runners,
            slots=slots,
            engines=False,
            docker=False,
            publisher=False,
            env={"KAON_DURABILITY": durability},
            closed=self._closed,
        )
        self._coordinators, self._apis = coordinators, apis
        self._postgres: Postgres | None = None
        self._opened = ExitStack()
        self._runs: list[str] = []

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            config = self._config
            if self._coordinators:
                self._postgres = opened.enter_context(temporary_postgres())
                config = replace(
                    config,
                    coordinators=self._coordinators,
                    apis_only=self._apis,
                    database=self._postgres.url,
                    catalogue=_SHARED,
                )
            self.system = opened.enter_context(System(config))
            apis = self.system.apis[-self._apis :] if self._apis else self.system.apis
            channels = [opened.enter_context(self._connect(address)) for address in apis]
            self._stubs = [run_service_pb2_grpc.RunServiceStub(channel) for channel in channels]
            self._versions = {
                shape: _register(channels[0], flow) for shape, flow in _load(_FLOWS).SHAPES.items()
            }
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def call(self) -> None:
        """See `Side.call`."""
        self._stubs[0].ListRuns(run_service_pb2.ListRunsRequest(page_size=1), timeout=_SECONDS)

    def submit(
        self,
        shape: str,
        ledger: Path,
        runs: Sequence[str],
        count: int = 1,
        *,
        together: bool = False,
    ) -> int:
        """See `Side.submit`."""
        requests = [self._request(shape, ledger, run, count) for run in runs]
        began = time_ns()
        if together:
            self._runs += self._together(requests)
            return began
        # By turns, as a balancer before several APIs does.
        answers = [
            stub.SubmitRun.future(request, timeout=_SECONDS)
            for stub, request in zip(cycle(self._stubs), requests, strict=False)
        ]
        self._runs += [answer.result().run.run_id for answer in answers]
        return began

    def _together(self, requests: Sequence[run_service_pb2.SubmitRunRequest]) -> list[str]:
        """Submit runs with one call, where several APIs are with one of each; return their ids."""
        calls = [
            stub.SubmitRuns.future(
                run_service_pb2.SubmitRunsRequest(requests=requests[first :: len(self._stubs)]),
                timeout=_SECONDS,
            )
            for first, stub in enumerate(self._stubs)
        ]
        answers = [answer for call in calls for answer in call.result().answers]
        if refused := [each.refusal for each in answers if each.HasField("refusal")]:
            raise RuntimeError(f"{len(refused)} runs were refused: {refused[0].message}")
        return [each.run_id for each in answers]

    def settle(self) -> None:
        """See `Side.settle`."""
        for run_id in self._submitted():
            ends = [event.run_ended for event in self._watch(run_id) if event.HasField("run_ended")]
            _check(run_id, ends)

    def histories(self) -> dict[str, list[history_pb2.HistoryEvent]]:
        """Settle, and return the events of the runs, by id of the run."""
        found = {run_id: list(self._watch(run_id)) for run_id in self._submitted()}
        for run_id, events in found.items():
            _check(run_id, [event.run_ended for event in events if event.HasField("run_ended")])
        return found

    def _submitted(self) -> list[str]:
        """Return the runs that were not settled yet, once."""
        runs, self._runs = self._runs, []
        return runs

    def _watch(self, run_id: str) -> Iterator[history_pb2.HistoryEvent]:
        # Not by GetRun, whose answer has every step: for 100,000 it is larger than a client of gRPC takes.
        watched = self._stubs[0].WatchRun(
            run_service_pb2.WatchRunRequest(run_id=run_id), timeout=_SECONDS
        )
        return (answer.event for answer in watched)

    def parts(self) -> Mapping[str, Sequence[int]]:
        """See `Side.parts`."""
        system = self.system
        parts = {
            "broker": system.kafka.pids,
            "coordinator": [pid for each in system.coordinators for pid in each.pids],
            "runners": [pid for runner in system.runners for pid in runner.pids],
        }
        if self._apis:
            parts["apis"] = [pid for each in system.apis_only for pid in each.pids]
        return parts if self._postgres is None else parts | {"database": self._postgres.pids}

    def _connect(self, address: str) -> grpc.Channel:
        if self._closed is None:
            return grpc.insecure_channel(address)
        security = ChannelSecurity(tls=True, ca=self._closed.files.ca)
        bearer = f"Bearer {self._closed.tokens[USUAL.variable]}"
        return grpc.intercept_channel(connect(address, security), _Shown(bearer))

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


def _check(run_id: str, ends: Sequence[history_pb2.RunEnded]) -> None:
    if [end.status for end in ends] != [run_pb2.STATUS_SUCCEEDED]:
        raise RuntimeError(f"run {run_id} did not succeed: {ends}")


def _register(channel: grpc.Channel, workflow: Workflow) -> tuple[str, str]:
    stub = workflow_service_pb2_grpc.WorkflowServiceStub(channel)
    bundle = workflow.bundle()
    upload = workflow_service_pb2.UploadBundleRequest(digest=bundle.digest, data=bundle.data)
    stub.UploadBundle(iter([upload]))
    definition = workflow.definition()
    request = workflow_service_pb2.RegisterWorkflowRequest(definition=definition)
    return workflow.name, stub.RegisterWorkflow(request).workflow.version


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
