"""The client of Kaon's services: everything that a user can ask for, as plain calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from google.protobuf.timestamp_pb2 import Timestamp

from kaon.client import many
from kaon.client.access import Access
from kaon.client.artifacts import Artifacts
from kaon.client.audit import Audit
from kaon.client.calling import Caller
from kaon.client.channel import Endpoints, connect
from kaon.client.commands import RunCommands
from kaon.client.datasets import Datasets
from kaon.client.errors import NotFound
from kaon.client.following import Followed
from kaon.client.handle import RunHandle
from kaon.client.models import Models
from kaon.client.retrying import Patience
from kaon.client.run_ids import RunIds
from kaon.client.schedules import Schedules
from kaon.client.trials import Trial, trials_of
from kaon.client.whole_log import WholeLog
from kaon.dsl import Workflow
from kaon_wire import canonical
from kaon_wire.channels import has_ended_here
from kaonapi.log.v1 import log_pb2, log_pb2_grpc
from kaonapi.run.v1 import history_pb2, run_pb2, run_service_pb2, run_service_pb2_grpc
from kaonapi.runner.v1 import runner_pb2, runner_pb2_grpc
from kaonapi.system.v1 import system_pb2, system_pb2_grpc
from kaonapi.workflow.v1 import definition_pb2, workflow_service_pb2, workflow_service_pb2_grpc

_CHUNK_BYTES = 1024 * 1024
# Events that a watch takes in one message.
_BATCH = 500
# How long a call, and a stream that was there before, are tried again.
CALL = Patience(total=5)
WATCH = Patience(total=60)


@dataclass(kw_only=True)
class _Position:
    """How far a watch has come, over however many streams."""

    seq: int
    ended: bool = False

    def passes(self, update: run_service_pb2.WatchRunResponse) -> bool:
        """Whether the update is new; takes note of it."""
        if not update.HasField("event"):
            return True
        if update.event.seq <= self.seq:
            return False
        self.seq = update.event.seq
        self.ended = update.event.HasField("run_ended")
        return True


class Client(RunCommands):
    """Talks to the coordinator and, under `models`, to the publisher. Thread-safe; close it, or use it in a with statement.

        with Client() as client:
            run = client.submit(workflow, {"min_ratings": 30})
            print(run.result())

    Args:
        endpoints: where the services are; by default as the environment says.
        patience: how long a call is tried again while nobody answers.
        watch_patience: the same for streams that were there before.

    `schedules` is about what submits runs without a person, `datasets` about what steps update and schedules wait for,
    `artifacts` about what runs produced, `audit` about who called, `access` about who may call. Every call raises a KaonError:
    NotFound, InvalidValue, Conflict, Unavailable, AccessDenied or ServerError.
    """

    def __init__(
        self,
        endpoints: Endpoints | None = None,
        *,
        patience: Patience = CALL,
        watch_patience: Patience = WATCH,
    ) -> None:
        self.endpoints = endpoints or Endpoints.from_environment()
        # The publisher is a service of its own, and may be there when the coordinator is gone.
        self.models = Models(self.endpoints, patience=patience, watch_patience=watch_patience)
        gone = partial(has_ended_here, self.endpoints.server)
        patience, watch_patience = replace(patience, gone=gone), replace(watch_patience, gone=gone)
        self._patience, self._watch_patience = patience, watch_patience
        self._channel = connect(self.endpoints.server, self.endpoints.security)
        self._caller = Caller(
            self.endpoints.server, self.endpoints, patience, RunIds(self._list_runs).complete
        )
        self._workflows = workflow_service_pb2_grpc.WorkflowServiceStub(self._channel)
        self._runs = run_service_pb2_grpc.RunServiceStub(self._channel)
        self._logs = log_pb2_grpc.LogServiceStub(self._channel)
        self._runners = runner_pb2_grpc.RunnerServiceStub(self._channel)
        self._system = system_pb2_grpc.SystemServiceStub(self._channel)
        self.schedules = Schedules(self._caller, self._channel)
        self.datasets = Datasets(self._caller, self._channel)
        self.audit = Audit(self._caller, self._channel)
        self.access = Access(self._caller, self._channel)
        self.artifacts = Artifacts(self._caller, self._channel, watch_patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; open streams end."""
        self._channel.close()
        self.models.close()

    # --- workflows

    def register(
        self, workflow: Workflow, *, aside: bool = False
    ) -> workflow_service_pb2.RegisterWorkflowResponse:
        """Upload the code of the workflow, unless this version is known, and register it after its children.

        Put `aside`, it can be named by its version, and what is current stays so.
        """
        for child in workflow.children:
            self.register(child, aside=aside)
        definition = workflow.definition()
        if definition.code_bundle and not self._is_known(workflow):
            self.upload_bundle(workflow.bundle().digest, workflow.bundle().data)
        return self.register_definition(definition, aside=aside)

    def register_definition(
        self, definition: definition_pb2.WorkflowDefinition, *, aside: bool = False
    ) -> workflow_service_pb2.RegisterWorkflowResponse:
        """Register a definition whose code bundle is stored."""
        request = workflow_service_pb2.RegisterWorkflowRequest(definition=definition, aside=aside)
        return self._caller.call(self._workflows.RegisterWorkflow, request)

    def upload_bundle(self, digest: str, data: bytes) -> workflow_service_pb2.UploadBundleResponse:
        """Store a code bundle under its digest."""

        def pieces() -> Iterator[workflow_service_pb2.UploadBundleRequest]:
            for start in range(0, max(len(data), 1), _CHUNK_BYTES):
                yield workflow_service_pb2.UploadBundleRequest(
                    digest="" if start else digest, data=data[start : start + _CHUNK_BYTES]
                )

        return self._caller.upload(self._workflows.UploadBundle, pieces)

    def workflow(self, name: str, version: str = "") -> workflow_service_pb2.Workflow:
        """Return a registered workflow; without a version the current one."""
        request = workflow_service_pb2.GetWorkflowRequest(name=name, version=version)
        return self._caller.call(self._workflows.GetWorkflow, request).workflow

    def workflows(self) -> list[workflow_service_pb2.Workflow]:
        """Return the current version of every workflow, by name."""
        request = workflow_service_pb2.ListWorkflowsRequest()
        return list(self._caller.whole(self._workflows.ListWorkflows, request).workflows)

    # --- runs

    def submit(
        self,
        workflow: Workflow,
        params: Mapping[str, Any] | None = None,
        key: str = "",
        *,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        only: Collection[str] = (),
        until: Collection[str] = (),
    ) -> RunHandle:
        """Register the workflow and start a run of exactly this version.

        Args:
            workflow: what to run.
            params: values of its parameters by name; defaults stand for the others.
            key: idempotency key: a second submit with the same key gives the first one's run.
            priority: added to that of every step; higher goes first.
            labels: attached to the run, to find it again by.
            only: names of steps and blocks that run, and nothing else but hooks; outputs of all others are null.
            until: names of steps and blocks that run with all that comes before them.
        """
        encoded = self.encode_params(workflow.definition(), params or {})
        registered = self.register(workflow).workflow
        submitted = self.submit_encoded(
            registered.name,
            registered.version,
            encoded,
            key,
            priority=priority,
            labels=labels,
            only=only,
            until=until,
        )
        return RunHandle(self, submitted)

    def submit_registered(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        key: str = "",
        version: str = "",
        *,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        only: Collection[str] = (),
        until: Collection[str] = (),
    ) -> RunHandle:
        """Start a run of a registered workflow; without a version, of its current one."""
        found = self.workflow(name, version)
        encoded = self.encode_params(found.definition, params or {})
        submitted = self.submit_encoded(
            name,
            found.version,
            encoded,
            key,
            priority=priority,
            labels=labels,
            only=only,
            until=until,
        )
        return RunHandle(self, submitted)

    def submit_encoded(
        self,
        name: str,
        version: str,
        params_json: Mapping[str, str],
        key: str,
        *,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        only: Collection[str] = (),
        until: Collection[str] = (),
    ) -> run_service_pb2.SubmitRunResponse:
        """Start a run; parameters are canonical JSON by name."""
        request = many.request(
            name,
            version,
            params_json,
            key,
            priority=priority,
            labels=labels,
            only=only,
            until=until,
        )
        return self._caller.call(self._runs.SubmitRun, request)

    def submit_many(
        self,
        workflow: Workflow | str,
        params: Iterable[Mapping[str, Any]],
        keys: Iterable[str] | None = None,
        *,
        version: str = "",
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        only: Collection[str] = (),
        until: Collection[str] = (),
    ) -> list[RunHandle]:
        """Start a run for each set of parameters, hundreds with one call; return them in order.

            runs = client.submit_many(workflow, [{"rate": rate} for rate in rates])

        Args:
            workflow: what to run: a workflow, which is registered, or the name of a registered one.
            params: values of parameters by name, for one run each.
            keys: idempotency keys, one for each run; a run whose key was used before is the first one's.
            version: of a registered workflow; without one, its current version.
            priority: of all runs; as for `submit`.
            labels: of all runs.
            only: of all runs; as for `submit`.
            until: of all runs; as for `submit`.

        Raises:
            NotAllSubmitted: some are not submitted; the error has the ids of the others.
        """
        if isinstance(workflow, Workflow):
            found = self.register(workflow).workflow
            definition = workflow.definition()
        else:
            found = self.workflow(workflow, version)
            definition = found.definition

        def made(values: Mapping[str, Any], key: str) -> run_service_pb2.SubmitRunRequest:
            encoded = self.encode_params(definition, values)
            return many.request(
                found.name,
                found.version,
                encoded,
                key,
                priority=priority,
                labels=labels,
                only=only,
                until=until,
            )

        gathered = many.Gathered(params, keys, made)
        return [self._submitted(found.name, each) for each in gathered.submit(self.submit_requests)]

    def submit_requests(
        self, requests: Iterable[run_service_pb2.SubmitRunRequest]
    ) -> Iterator[run_service_pb2.SubmittedRun]:
        """Start a run for each request, hundreds with one call; yield what became of each, in order, as answers come.

        Args:
            requests: each with a key, so that a call that is tried again makes no second run.
        """
        patience = self._patience
        return many.answers(
            lambda request: self._caller.call(self._runs.SubmitRuns, request), requests, patience
        )

    def _submitted(self, name: str, answer: run_service_pb2.SubmittedRun) -> RunHandle:
        run = run_pb2.Run(run_id=answer.run_id, workflow=name, version=answer.version)
        if answer.created:
            run.status = run_pb2.STATUS_PENDING
        return RunHandle(self, run_service_pb2.SubmitRunResponse(run=run, created=answer.created))

    def handle(self, run_id: str) -> RunHandle:
        """Return a run that exists, to wait for it and to read what it gives."""
        return RunHandle(self, run_service_pb2.SubmitRunResponse(run=self.summary(run_id)))

    def run(self, run_id: str, *, cells: bool = False) -> run_service_pb2.GetRunResponse:
        """Return a run with its steps and blocks; with `cells` also those of foreach blocks, with their items."""
        request = run_service_pb2.GetRunRequest(run_id=run_id, with_cells=cells)
        return self._caller.whole(self._runs.GetRun, request, anew=["run"])

    def summary(self, run_id: str) -> run_pb2.Run:
        """Return how a run stands, without its steps and blocks: one small answer, however large the run is."""
        request = run_service_pb2.GetRunRequest(run_id=run_id, page_size=1)
        return self._caller.call(self._runs.GetRun, request).run

    def until_ended(self, run_id: str) -> run_pb2.Run:
        """Return how a run stands when it has ended. What happens meanwhile is neither sent nor told; `watch` tells it."""
        # Tells at once, and in words, when there is no such run or server.
        run = self.summary(run_id)

        def opened() -> Iterator[run_service_pb2.WatchRunResponse]:
            request = run_service_pb2.WatchRunRequest(run_id=run_id, only_end=True)
            return self._caller.stream(self._runs.WatchRun, request)

        def complete() -> bool:
            nonlocal run
            run = self.summary(run_id)
            return run.HasField("end_time")

        if not run.HasField("end_time"):
            for _ in self._watch_patience.stream(opened, complete=complete):
                pass
        return run

    def runs(
        self,
        workflow: str = "",
        status: run_pb2.Status.ValueType = run_pb2.STATUS_UNSPECIFIED,
        limit: int = 50,
        labels: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        since_us: int = 0,
    ) -> list[run_pb2.Run]:
        """List up to `limit` runs, newest first.

        Args:
            workflow: only runs of this workflow.
            status: only runs of this status.
            limit: most runs.
            labels: only runs that have all these labels; an empty value means any.
            params: only runs whose parameters have these values.
            since_us: only runs that were submitted at this time or later, microseconds since the epoch.
        """
        encoded = {name: canonical.dumps(value) for name, value in (params or {}).items()}
        since = Timestamp()
        since.FromMicroseconds(since_us)
        found: list[run_pb2.Run] = []
        token = ""
        while len(found) < limit:
            request = run_service_pb2.ListRunsRequest(
                workflow=workflow,
                status=status,
                labels=dict(labels or {}),
                params_json=encoded,
                created_from=since if since_us else None,
                page_size=min(limit - len(found), 500),
                page_token=token,
            )
            response = self._list_runs(request)
            found.extend(response.runs)
            token = response.next_page_token
            if not token:
                break
        return found[:limit]

    def _list_runs(
        self, request: run_service_pb2.ListRunsRequest
    ) -> run_service_pb2.ListRunsResponse:
        return self._caller.call(self._runs.ListRuns, request)

    def watch(self, run_id: str, after_seq: int = 0) -> Iterator[run_service_pb2.WatchRunResponse]:
        """Watch a run: yield its events after `after_seq`, then live ones and the progress of its steps, until the run has ended.

        Of a run that had ended and was opened again (by a retry) the history goes on after RunEnded. A broken stream goes on after
        the last event seen, so that every event comes exactly once.
        """
        self.summary(run_id)  # as above
        return self._watch(run_id, after_seq)

    def history(self, run_id: str, after_seq: int = 0) -> Iterator[history_pb2.HistoryEvent]:
        """Yield the events of a run after `after_seq` that exist now."""
        newest = self.summary(run_id).last_seq
        if newest <= after_seq:
            return
        for update in self._watch(run_id, after_seq):
            if update.HasField("event"):
                yield update.event
                if update.event.seq >= newest:
                    return

    def metrics(self, run: str | RunHandle) -> list[dict[str, Any]]:
        """Return every number that the steps of a run have reported, in order.

        Each is a record that `pandas.DataFrame` takes: `path` and `name`, the `value`, how far the step had come (`step`: what it
        reported, else the number of the report) and the `time`.
        """
        counts: Counter[tuple[str, str]] = Counter()
        records = []
        for event in self.history(run if isinstance(run, str) else run.run_id):
            if not event.step_reported.HasField("metric"):
                continue
            path, metric = event.step_reported.path, event.step_reported.metric
            counts[path, metric.name] += 1
            records.append(
                {
                    "path": path,
                    "name": metric.name,
                    "step": metric.step
                    if metric.step_given
                    else metric.step or counts[path, metric.name],
                    "value": metric.value,
                    "time": datetime.fromtimestamp(event.time_us / 1e6, UTC),
                }
            )
        return records

    def trials(self, run: str | RunHandle) -> list[Trial]:
        """Return the cells of the sweeps and other foreach blocks of a run, with their items and newest metrics."""
        return trials_of(self.run(run if isinstance(run, str) else run.run_id, cells=True))

    def download(
        self, run: str | RunHandle, path: str = "", output: str = "", *, to: Path | None = None
    ) -> Path:
        """Copy an artifact of a run to a file or directory; as `artifacts.download`."""
        run_id = run if isinstance(run, str) else run.run_id
        return self.artifacts.download(run_id, path, output, to=to)

    def _watch(self, run_id: str, after_seq: int) -> Iterator[run_service_pb2.WatchRunResponse]:
        position = _Position(seq=after_seq)

        def opened() -> Iterator[run_service_pb2.WatchRunResponse]:
            request = run_service_pb2.WatchRunRequest(
                run_id=run_id, after_seq=position.seq, batch_size=_BATCH
            )
            for response in self._caller.stream(self._runs.WatchRun, request):
                if not response.events:
                    yield response
                for event in response.events:
                    yield run_service_pb2.WatchRunResponse(event=event)

        def complete() -> bool:
            return self._has_seen_all(run_id, position.seq)

        for update in self._watch_patience.stream(opened, complete=complete):
            if position.passes(update):
                yield update
            if position.ended and complete():
                return

    def _has_seen_all(self, run_id: str, seq: int) -> bool:
        """Whether a watch that ended after event `seq` has missed nothing."""
        run = self.summary(run_id)
        return run.HasField("end_time") and run.last_seq <= seq

    # --- logs and runners

    def logs(
        self, run_id: str, path: str = "", *, follow: bool = False
    ) -> Iterator[log_pb2.LogLines]:
        """Yield the log lines of the steps at or under `path`, oldest first; with `follow` live until the run ends.

        Of a lease that printed very much the first and the last lines are there, and `gap` of what follows tells which are not:
        `whole_log` has them. A broken stream starts again, and what was seen is left out.
        """
        self.summary(run_id)  # as above
        return self._follow(run_id, path) if follow else self._read_logs(run_id, path, follow=False)

    def whole_log(self, run_id: str, path: str, attempt: int = 0) -> Iterator[bytes]:
        """Yield the whole log of one attempt of a step, piece by piece; without a number that of the newest attempt.

        The runner stores it when the attempt has ended. Where the runner has left lines out, a line of the log says so.

        Raises:
            NotFound: no log of it is stored. Conflict: it has not ended.
        """
        self.summary(run_id)  # as above
        return WholeLog(self._caller, self._logs, run_id, path, attempt).read(self._watch_patience)

    def _follow(self, run_id: str, path: str) -> Iterator[log_pb2.LogLines]:
        followed, ended = Followed(), False

        def opened() -> Iterator[log_pb2.LogLines]:
            nonlocal ended
            followed.begin()
            yield from self._read_logs(run_id, path, follow=True)
            ended = True

        for lines in self._watch_patience.stream(opened, complete=lambda: ended):
            news = followed.news(lines)
            if news is not None:
                yield news

    def _read_logs(self, run_id: str, path: str, *, follow: bool) -> Iterator[log_pb2.LogLines]:
        request = log_pb2.ReadLogsRequest(run_id=run_id, path=path, follow=follow)
        for response in self._caller.stream(self._logs.ReadLogs, request):
            yield response.lines

    def runners(self, pool: str = "") -> list[runner_pb2.Runner]:
        """Return the runners that send heartbeats, by pool and id."""
        return list(self.list_runners(pool).runners)

    def list_runners(self, pool: str = "") -> runner_pb2.ListRunnersResponse:
        """Return the runners, and the pools whose owners did not answer."""
        request = runner_pb2.ListRunnersRequest(pool=pool)
        return self._caller.whole(self._runners.ListRunners, request, anew=["unreachable"])

    def list_pools(self, pool: str = "") -> runner_pb2.ListPoolsResponse:
        """Return capacity and demand of each pool, and the pools whose owners did not answer."""
        request = runner_pb2.ListPoolsRequest(pool=pool)
        return self._caller.whole(self._runners.ListPools, request, anew=["unreachable"])

    def diagnose(self) -> system_pb2.DiagnoseResponse:
        """Return the checks of a coordinator of itself, its database and its broker."""
        return self._caller.call(self._system.Diagnose, system_pb2.DiagnoseRequest())

    def why(self, run_id: str, path: str = "") -> runner_pb2.ExplainStepResponse:
        """Why a step, or without a path the run, does not run yet; `path` may be the name of a step that has none yet."""
        request = runner_pb2.ExplainStepRequest(run_id=run_id, path=path)
        return self._caller.call(self._runners.ExplainStep, request)

    def _is_known(self, workflow: Workflow) -> bool:
        try:
            self.workflow(workflow.name, workflow.version)
        except NotFound:
            return False
        return True
