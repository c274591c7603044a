"""A small server that offers Kaon's API over real gRPC, with runs that tests script."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc

from kaon_wire import canonical
from kaonapi.dataset.v1 import dataset_pb2, dataset_pb2_grpc
from kaonapi.log.v1 import log_pb2, log_pb2_grpc
from kaonapi.model.v1 import model_pb2, model_pb2_grpc
from kaonapi.run.v1 import history_pb2, run_pb2, run_service_pb2, run_service_pb2_grpc
from kaonapi.runner.v1 import runner_pb2, runner_pb2_grpc
from kaonapi.schedule.v1 import schedule_pb2, schedule_pb2_grpc
from kaonapi.step.v1 import step_pb2
from kaonapi.system.v1 import system_pb2, system_pb2_grpc
from kaonapi.workflow.v1 import definition_pb2, workflow_service_pb2, workflow_service_pb2_grpc

Update = run_service_pb2.WatchRunResponse


@dataclass
class World:
    """What the server knows, and what it was asked."""

    bundles: dict[str, bytes] = field(default_factory=dict)
    workflows: dict[str, workflow_service_pb2.Workflow] = field(default_factory=dict)
    runs: dict[str, run_pb2.Run] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    # The history of every run, and after how many events each stream of it breaks.
    history: list[history_pb2.HistoryEvent] = field(default_factory=list)
    progress: list[run_pb2.StepView] = field(default_factory=list)
    breaks_after: list[int] = field(default_factory=list)
    watched_after: list[int] = field(default_factory=list)
    # Watches stay open after the last event, until the client goes.
    holds: bool = False
    # The history when a wait for the run's end is over.
    at_end: list[history_pb2.HistoryEvent] = field(default_factory=list)
    watching: threading.Event = field(default_factory=threading.Event)
    logs: list[log_pb2.LogLines] = field(default_factory=list)
    # The whole log of the only attempt, and the requests for it.
    whole_log: bytes = b""
    whole_log_asked: list[log_pb2.ReadWholeLogRequest] = field(default_factory=list)
    announcements: list[model_pb2.Announcement] = field(default_factory=list)
    acknowledged: dict[str, int] = field(default_factory=dict)
    metadata: list[dict[str, str]] = field(default_factory=list)
    # Every command and question about runs, schedules and permits, in the order of arrival.
    asked: list[Any] = field(default_factory=list)
    blocks: list[run_pb2.BlockView] = field(default_factory=list)
    cells: list[run_pb2.CellView] = field(default_factory=list)
    # Of every run; none: one step that runs.
    steps: list[run_pb2.StepView] = field(default_factory=list)
    schedules: dict[str, schedule_pb2.Schedule] = field(default_factory=dict)
    permits: dict[str, int] = field(default_factory=dict)
    updates: list[dataset_pb2.DatasetUpdate] = field(default_factory=list)
    checks: list[system_pb2.Check] = field(default_factory=list)
    uploads: int = 0
    # How many unary calls are refused before one is answered.
    refusals: int = 0
    # Values of parameters for which a submission among others is refused, by JSON; with UNAVAILABLE once.
    refused_values: dict[str, grpc.StatusCode] = field(default_factory=dict)
    # How runs stand when their end has come, by id.
    statuses: dict[str, run_pb2.Status.ValueType] = field(default_factory=dict)
    # The versions that were registered to be current, in order.
    current: list[str] = field(default_factory=list)
    # Why a fork does not fit; empty when it does.
    unfit: str = ""

    def note(self, context: grpc.ServicerContext) -> None:
        self.metadata.append({str(key): str(value) for key, value in context.invocation_metadata()})

    def refuse(self, context: grpc.ServicerContext) -> None:
        """Ends the call as a server that restarts does, as often as the test wants."""
        if self.refusals:
            self.refusals -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "starting")

    def run(self, run_id: str, context: grpc.ServicerContext) -> run_pb2.Run:
        if run_id not in self.runs:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no run {run_id!r}")
        run = self.runs[run_id]
        if self.history and self.history[-1].HasField("run_ended"):
            run.last_seq = self.history[-1].seq
            run.end_time.FromMicroseconds(self.history[-1].time_us)
            run.status = self.statuses.get(run_id, run.status)
        return run

    def take_break(self) -> int | None:
        return self.breaks_after.pop(0) if self.breaks_after else None


def event(seq: int, **fact: object) -> history_pb2.HistoryEvent:
    """One fact of run "r1"; seconds pass with seq."""
    return history_pb2.HistoryEvent(run_id="r1", seq=seq, time_us=seq * 1_000_000, **fact)  # type: ignore[arg-type]


def short_history(
    status: run_pb2.Status.ValueType = run_pb2.STATUS_SUCCEEDED,
) -> list[history_pb2.HistoryEvent]:
    """A run of one step "a" that ends with `status`."""
    error = None
    if status == run_pb2.STATUS_FAILED:
        error = step_pb2.StepError(type="ValueError", message="bad data")
    return [
        event(1, run_submitted=history_pb2.RunSubmitted(workflow="w")),
        event(2, run_started=history_pb2.RunStarted()),
        event(3, step_became_ready=history_pb2.StepBecameReady(path="a", attempt=1, generation=1)),
        event(
            4,
            step_leased=history_pb2.StepLeased(
                path="a", attempt=1, generation=1, runner_id="host-1"
            ),
        ),
        event(
            5,
            step_ended=history_pb2.StepEndedEvent(path="a", status=status, attempt=1, error=error),
        ),
        event(6, run_ended=history_pb2.RunEnded(status=status, error=error)),
    ]


class _Workflows(workflow_service_pb2_grpc.WorkflowServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def UploadBundle(self, request_iterator, context):  # type: ignore[no-untyped-def]
        pieces = list(request_iterator)
        data = b"".join(piece.data for piece in pieces)
        assert pieces[0].digest == "sha256:" + hashlib.sha256(data).hexdigest()
        assert not any(piece.digest for piece in pieces[1:])
        self.world.bundles[pieces[0].digest] = data
        self.world.uploads += 1
        return workflow_service_pb2.UploadBundleResponse(
            digest=pieces[0].digest, size_bytes=len(data)
        )

    def RegisterWorkflow(self, request, context):  # type: ignore[no-untyped-def]
        definition = request.definition
        if definition.code_bundle and definition.code_bundle not in self.world.bundles:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "upload the bundle first")
        version = canonical.digest_message(definition)
        created = version not in self.world.workflows
        workflow = workflow_service_pb2.Workflow(
            name=definition.name, version=version, definition=definition
        )
        self.world.workflows[version] = workflow
        if not request.aside:
            self.world.current.append(version)
        return workflow_service_pb2.RegisterWorkflowResponse(workflow=workflow, created=created)

    def GetWorkflow(self, request, context):  # type: ignore[no-untyped-def]
        found = [
            each for each in self.world.workflows.values() if request.version in ("", each.version)
        ]
        found = [each for each in found if each.name == request.name]
        if not found:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no workflow {request.name!r}")
        return workflow_service_pb2.GetWorkflowResponse(workflow=found[-1])

    def ListWorkflows(self, request, context):  # type: ignore[no-untyped-def]
        return workflow_service_pb2.ListWorkflowsResponse(workflows=self.world.workflows.values())


class _Runs(run_service_pb2_grpc.RunServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def SubmitRun(self, request, context):  # type: ignore[no-untyped-def]
        self.world.note(context)
        self.world.refuse(context)
        return self._one(request, context)

    def _one(self, request, context):  # type: ignore[no-untyped-def]
        if request.idempotency_key in self.world.keys:
            run = self.world.runs[self.world.keys[request.idempotency_key]]
            if run.params_json != request.params_json:
                context.abort(
                    grpc.StatusCode.ALREADY_EXISTS, "this key was used with other parameters"
                )
            return run_service_pb2.SubmitRunResponse(run=run, created=False)
        run = run_pb2.Run(
            run_id=f"r{len(self.world.runs) + 1}",
            workflow=request.workflow,
            version=request.version,
            status=run_pb2.STATUS_PENDING,
            params_json=request.params_json,
        )
        self.world.runs[run.run_id] = run
        self.world.keys[request.idempotency_key] = run.run_id
        return run_service_pb2.SubmitRunResponse(run=run, created=True)

    def SubmitRuns(self, request, context):  # type: ignore[no-untyped-def]
        self.world.note(context)
        self.world.refuse(context)
        self.world.asked.append(request)
        return run_service_pb2.SubmitRunsResponse(
            answers=[self._submitted(each) for each in request.requests]
        )

    def _submitted(self, request):  # type: ignore[no-untyped-def]
        for value, code in self.world.refused_values.items():
            if value in request.params_json.values():
                if code is grpc.StatusCode.UNAVAILABLE:
                    self.world.refused_values.pop(value)
                refusal = run_service_pb2.SubmissionRefusal(
                    code=code.value[0], message=f"not {value}", retry_ms=1_500
                )
                return run_service_pb2.SubmittedRun(refusal=refusal)
        if request.validate_only:
            return run_service_pb2.SubmittedRun(version=request.version)
        answer = self._one(request, None)
        return run_service_pb2.SubmittedRun(
            run_id=answer.run.run_id, created=answer.created, version=request.version
        )

    def GetRun(self, request, context):  # type: ignore[no-untyped-def]
        self.world.note(context)
        return run_service_pb2.GetRunResponse(
            run=self.world.run(request.run_id, context),
            steps=self.world.steps
            or [
                run_pb2.StepView(
                    path="a",
                    name="a",
                    type="shell",
                    status=run_pb2.STATUS_RUNNING,
                    attempt=2,
                    runner_id="host-1",
                )
            ],
            blocks=self.world.blocks,
            cells=self.world.cells if request.with_cells else (),
        )

    def ListRuns(self, request, context):  # type: ignore[no-untyped-def]
        runs = [
            run
            for run in self.world.runs.values()
            if request.status in (run_pb2.STATUS_UNSPECIFIED, run.status)
            and run.run_id.startswith(request.run_id_prefix)
            and request.params_json.items() <= run.params_json.items()
        ]
        start = int(request.page_token or 0)
        end = start + min(request.page_size, 2)
        token = str(end) if end < len(runs) else ""
        return run_service_pb2.ListRunsResponse(runs=runs[start:end], next_page_token=token)

    def WatchRun(self, request, context):  # type: ignore[no-untyped-def]
        self.world.run(request.run_id, context)
        self.world.watched_after.append(request.after_seq)
        breaks_after = self.world.take_break()
        yield from (Update(progress=view) for view in self.world.progress)
        # One event twice: delivery after a break may overlap.
        told = () if request.only_end else self.world.history[max(request.after_seq - 1, 0) :]
        is_broken = breaks_after is not None and breaks_after < len(told)
        if is_broken:
            told = told[:breaks_after]
        size = min(request.batch_size, 2) or 1
        for first in range(0, len(told), size):
            events = told[first : first + size]
            yield Update(events=events) if request.batch_size else Update(event=events[0])
        if is_broken or (request.only_end and breaks_after is not None):
            context.abort(grpc.StatusCode.UNAVAILABLE, "the coordinator restarts")
        if request.only_end and self.world.at_end:
            self.world.history = self.world.at_end
        if self.world.holds:
            self.world.watching.set()
            gone = threading.Event()
            context.add_callback(gone.set)
            gone.wait()

    def CancelRun(self, request, context):  # type: ignore[no-untyped-def]
        self._command(request, context, run_pb2.STATUS_CANCELLING)
        return run_service_pb2.CancelRunResponse(run=self.world.runs[request.run_id])

    def PauseRun(self, request, context):  # type: ignore[no-untyped-def]
        self._command(request, context, run_pb2.STATUS_PAUSED)
        return run_service_pb2.PauseRunResponse(run=self.world.runs[request.run_id])

    def SetBreakpoint(self, request, context):  # type: ignore[no-untyped-def]
        self._command(request, context)
        return run_service_pb2.SetBreakpointResponse(run=self.world.runs[request.run_id])

    def PassBreakpoint(self, request, context):  # type: ignore[no-untyped-def]
        self._command(request, context)
        return run_service_pb2.PassBreakpointResponse(run=self.world.runs[request.run_id])

    def ResumeRun(self, request, context):  # type: ignore[no-untyped-def]
        self._command(request, context, run_pb2.STATUS_RUNNING)
        return run_service_pb2.ResumeRunResponse(run=self.world.runs[request.run_id])

    def SignalRun(self, request, context):  # type: ignore[no-untyped-def]
        self._command(request, context)
        return run_service_pb2.SignalRunResponse(run=self.world.runs[request.run_id])

    def SignalRuns(self, request, context):  # type: ignore[no-untyped-def]
        self.world.note(context)
        self.world.refuse(context)
        self.world.asked.append(request)
        left = run_service_pb2.SignalLeftOut(workflow="w", runs=1, reason="needs the role lead")
        return run_service_pb2.SignalRunsResponse(
            runs=3, waiting=1, left_out=[left], created=request.idempotency_key != "used"
        )

    def AnswerGate(self, request, context):  # type: ignore[no-untyped-def]
        self._command(request, context)
        roles = self.world.metadata[-1].get("kaon-roles", "").split(",")
        if request.path == "release" and "owner" not in roles:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "release is answered by owner")
        return run_service_pb2.AnswerGateResponse(run=self.world.runs[request.run_id])

    def RetryRun(self, request, context):  # type: ignore[no-untyped-def]
        self._command(request, context, run_pb2.STATUS_RUNNING)
        return run_service_pb2.RetryRunResponse(run=self.world.runs[request.run_id])

    def RestartRun(self, request, context):  # type: ignore[no-untyped-def]
        self._command(request, context, run_pb2.STATUS_RUNNING)
        return run_service_pb2.RestartRunResponse(run=self.world.runs[request.run_id])

    def MarkBlock(self, request, context):  # type: ignore[no-untyped-def]
        self._command(request, context)
        return run_service_pb2.MarkBlockResponse(run=self.world.runs[request.run_id])

    def SetRunPriority(self, request, context):  # type: ignore[no-untyped-def]
        self._command(request, context)
        self.world.runs[request.run_id].priority = request.priority
        return run_service_pb2.SetRunPriorityResponse(run=self.world.runs[request.run_id])

    def RerunRun(self, request, context):  # type: ignore[no-untyped-def]
        return run_service_pb2.RerunRunResponse(run=self._like(request, context), created=True)

    def ForkRun(self, request, context):  # type: ignore[no-untyped-def]
        if self.world.unfit:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, self.world.unfit)
        run = self._like(request, context)
        run.forked_from_run_id, run.forked_from_seq = request.run_id, request.seq
        run.version = request.version or run.version
        plan = run_service_pb2.CommandPlan(kept=2, resets=["a"], resets_total=1)
        return run_service_pb2.ForkRunResponse(
            run=run, created=True, plan=plan if request.dry_run else None
        )

    def GetRunAt(self, request, context):  # type: ignore[no-untyped-def]
        run = self.world.run(request.run_id, context)
        step = run_pb2.StepView(path="a", status=run_pb2.STATUS_READY, attempt=1)
        return run_service_pb2.GetRunAtResponse(run=run, steps=[step], state_hash="sha256:12")

    def VerifyRun(self, request, context):  # type: ignore[no-untyped-def]
        self.world.run(request.run_id, context)
        good = request.run_id == "r1"
        return run_service_pb2.VerifyRunResponse(
            seq=6,
            replayed_hash="sha256:12",
            stored_hash="sha256:12" if good else "sha256:34",
            matches=good,
        )

    def _command(self, request, context, status=None):  # type: ignore[no-untyped-def]
        self.world.note(context)
        self.world.refuse(context)
        run = self.world.run(request.run_id, context)
        self.world.asked.append(request)
        if status is not None:
            run.status = status

    def _like(self, request, context):  # type: ignore[no-untyped-def]
        self._command(request, context)
        old = self.world.runs[request.run_id]
        run = run_pb2.Run(
            run_id=f"r{len(self.world.runs) + 1}", workflow=old.workflow, version=old.version
        )
        run.params_json.update({**old.params_json, **request.params_json})
        self.world.runs[run.run_id] = run
        return run


class _Schedules(schedule_pb2_grpc.ScheduleServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def PutSchedule(self, request, context):  # type: ignore[no-untyped-def]
        created = request.schedule.name not in self.world.schedules
        self.world.schedules[request.schedule.name] = request.schedule
        return schedule_pb2.PutScheduleResponse(schedule=request.schedule, created=created)

    def GetSchedule(self, request, context):  # type: ignore[no-untyped-def]
        return schedule_pb2.GetScheduleResponse(schedule=self._schedule(request.name, context))

    def RunSchedule(self, request, context):  # type: ignore[no-untyped-def]
        schedule = self._schedule(request.name, context)
        self.world.asked.append(request)
        run = run_pb2.Run(
            run_id="r9", workflow=schedule.workflow, version="sha256:1234567890abcdef"
        )
        return schedule_pb2.RunScheduleResponse(run=run, created=True)

    def ListSchedules(self, request, context):  # type: ignore[no-untyped-def]
        return schedule_pb2.ListSchedulesResponse(schedules=self.world.schedules.values())

    def DeleteSchedule(self, request, context):  # type: ignore[no-untyped-def]
        self._schedule(request.name, context)
        del self.world.schedules[request.name]
        return schedule_pb2.DeleteScheduleResponse()

    def Backfill(self, request, context):  # type: ignore[no-untyped-def]
        self.world.asked.append(request)
        runs = [run_pb2.Run(run_id=f"b{day}", workflow=request.workflow) for day in (1, 2)]
        return schedule_pb2.BackfillResponse(runs=runs, created=1)

    def SetPermits(self, request, context):  # type: ignore[no-untyped-def]
        self.world.permits[request.permits.tag] = request.permits.limit
        return schedule_pb2.SetPermitsResponse(permits=request.permits)

    def ListPermits(self, request, context):  # type: ignore[no-untyped-def]
        permits = [
            schedule_pb2.Permits(tag=tag, limit=n, taken=1) for tag, n in self.world.permits.items()
        ]
        return schedule_pb2.ListPermitsResponse(permits=permits)

    def _schedule(self, name, context):  # type: ignore[no-untyped-def]
        if name not in self.world.schedules:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no schedule {name!r}")
        return self.world.schedules[name]


class _Datasets(dataset_pb2_grpc.DatasetServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def ListDatasets(self, request, context):  # type: ignore[no-untyped-def]
        names = sorted({each.dataset for each in self.world.updates})
        return dataset_pb2.ListDatasetsResponse(datasets=[self._dataset(name) for name in names])

    def GetDataset(self, request, context):  # type: ignore[no-untyped-def]
        found = self._dataset(request.name)
        found.producers.append(dataset_pb2.DatasetUpdate(workflow="load", path="each[eu]/load"))
        found.consumers.append(dataset_pb2.DatasetConsumer(schedule="follow", workflow="w"))
        return dataset_pb2.GetDatasetResponse(dataset=found)

    def ListDatasetUpdates(self, request, context):  # type: ignore[no-untyped-def]
        found = [each for each in reversed(self.world.updates) if each.dataset == request.name]
        if request.HasField("partition"):
            found = [each for each in found if each.partition == request.partition]
        # A page of one.
        first = int(request.page_token or 0)
        more = str(first + 1) if first + 1 < len(found) else ""
        return dataset_pb2.ListDatasetUpdatesResponse(
            updates=found[first : first + 1], next_page_token=more
        )

    def RecordDatasetUpdate(self, request, context):  # type: ignore[no-untyped-def]
        assert request.idempotency_key
        number = len(self.world.updates) + 1
        update = dataset_pb2.DatasetUpdate(
            update_id=number,
            dataset=request.name,
            partition=request.partition,
            outputs_json=request.outputs_json,
            by="ada",
            started_run_ids=[f"run-{number}"],
        )
        self.world.updates.append(update)
        return dataset_pb2.RecordDatasetUpdateResponse(update=update, created=True)

    def _dataset(self, name):  # type: ignore[no-untyped-def]
        found = [each for each in self.world.updates if each.dataset == name]
        return dataset_pb2.Dataset(name=name, updates=len(found), newest=found[-1])


class _Logs(log_pb2_grpc.LogServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def ReadLogs(self, request, context):  # type: ignore[no-untyped-def]
        sent, breaks_after = 0, self.world.take_break() if request.follow else None
        for lines in self.world.logs:
            if not lines.key.path.startswith(request.path):
                continue
            if sent == breaks_after:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the coordinator restarts")
            sent += 1
            yield log_pb2.ReadLogsResponse(lines=lines)

    def ReadWholeLog(self, request, context):  # type: ignore[no-untyped-def]
        self.world.whole_log_asked.append(request)
        data, breaks_after = self.world.whole_log, self.world.take_break()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        yield log_pb2.ReadWholeLogResponse(attempt=3, size_bytes=len(data), digest=digest)
        for sent, start in enumerate(range(request.offset, len(data), 4)):
            if sent == breaks_after:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the coordinator restarts")
            yield log_pb2.ReadWholeLogResponse(data=data[start : start + 4])


class _Runners(runner_pb2_grpc.RunnerServiceServicer):
    def ListRunners(self, request, context):  # type: ignore[no-untyped-def]
        runner = runner_pb2.Runner(
            runner_id="host-1",
            pool="default",
            labels={"python": "3.11", "step-type.shell": "yes"},
            running=2,
        )
        return runner_pb2.ListRunnersResponse(
            runners=[runner] if request.pool in ("", "default") else []
        )

    def ListPools(self, request, context):  # type: ignore[no-untyped-def]
        demand = runner_pb2.Demand(
            labels=["gpu"], steps=3, wanted=definition_pb2.Resources(slots=4)
        )
        away = runner_pb2.UnreachablePool(pool="far", problem="it is away")
        pool = runner_pb2.Pool(name="default", owner="c1", waiting=3, demands=[demand])
        return runner_pb2.ListPoolsResponse(pools=[pool], unreachable=[away])

    def ExplainStep(self, request, context):  # type: ignore[no-untyped-def]
        reason = runner_pb2.WaitReason
        reasons = [
            reason(cause=runner_pb2.WAIT_CAUSE_WAITS_FOR, text="it waits for b", path="a"),
            reason(
                cause=runner_pb2.WAIT_CAUSE_NO_LABEL, text="b waits for a runner with gpu", path="b"
            ),
        ]
        return runner_pb2.ExplainStepResponse(
            path=request.path, status=run_pb2.STATUS_PENDING, text="it waits for b", reasons=reasons
        )


class _System(system_pb2_grpc.SystemServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def Diagnose(self, request, context):  # type: ignore[no-untyped-def]
        return system_pb2.DiagnoseResponse(
            owner="c1", version="1", time_us=time.time_ns() // 1000, checks=self.world.checks
        )


class _Models(model_pb2_grpc.ModelServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def ListModels(self, request, context):  # type: ignore[no-untyped-def]
        return model_pb2.ListModelsResponse(
            versions=[each.version for each in self.world.announcements]
        )

    def GetModel(self, request, context):  # type: ignore[no-untyped-def]
        for each in self.world.announcements:
            if each.version.model == request.model and request.version in (0, each.version.version):
                return model_pb2.GetModelResponse(
                    version=each.version, pickups=[model_pb2.Pickup(consumer="shop")]
                )
        context.abort(grpc.StatusCode.NOT_FOUND, f"there is no model {request.model!r}")
        raise AssertionError

    def WatchModels(self, request, context) -> Iterator[model_pb2.WatchModelsResponse]:  # type: ignore[no-untyped-def]
        self.world.watched_after.append(request.after_cursor)
        for each in self.world.announcements:
            if each.cursor > request.after_cursor:
                yield model_pb2.WatchModelsResponse(announcement=each)
                if self.world.take_break() is not None:
                    context.abort(grpc.StatusCode.UNAVAILABLE, "the publisher restarts")

    def AcknowledgeModel(self, request, context):  # type: ignore[no-untyped-def]
        self.world.acknowledged[request.consumer] = request.cursor
        return model_pb2.AcknowledgeModelResponse()


def start(world: World) -> tuple[grpc.Server, str]:
    """A running server on a free port, and its address."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    workflow_service_pb2_grpc.add_WorkflowServiceServicer_to_server(_Workflows(world), server)
    run_service_pb2_grpc.add_RunServiceServicer_to_server(_Runs(world), server)
    log_pb2_grpc.add_LogServiceServicer_to_server(_Logs(world), server)
    runner_pb2_grpc.add_RunnerServiceServicer_to_server(_Runners(), server)
    system_pb2_grpc.add_SystemServiceServicer_to_server(_System(world), server)
    schedule_pb2_grpc.add_ScheduleServiceServicer_to_server(_Schedules(world), server)
    dataset_pb2_grpc.add_DatasetServiceServicer_to_server(_Datasets(world), server)
    model_pb2_grpc.add_ModelServiceServicer_to_server(_Models(world), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"
