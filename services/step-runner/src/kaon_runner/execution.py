"""One lease from its start to its report."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from kaon_runner import outputs, reports
from kaon_runner.commands import CommandRun
from kaon_runner.disk import local_path, remove_tree
from kaon_runner.errors import UserStepError
from kaon_runner.leases import Lease
from kaon_runner.log_store import LogStore
from kaon_runner.logs import StepLog
from kaon_runner.preparing import Artifacts, Preparer
from kaon_runner.settings import Settings
from kaon_runner.slots import Amount, Claim
from kaon_runner.steptypes.base import CommandLaunch, PreparedStep, StepType, WorkerLaunch
from kaon_runner.supervision.child import Bounds, Ending
from kaon_runner.workers.pool import WorkerPool
from kaon_runner.workers.process import Requeued, WarmWorker, WorkerOutcome, WorkerTask
from kaonapi.log.v1 import log_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

_log = logging.getLogger(__name__)


class Stop(Enum):
    """Why a step is stopped."""

    # By the engine: report StepStopped.
    REVOKED = "revoked"
    # By the engine, because somebody else holds the step: report nothing.
    STALE = "stale"
    # Here, because the attempt took too long: report StepFailed.
    TIMEOUT = "timeout"
    # Here, because it occupies more of the disk than it may: report StepFailed.
    DISK = "disk"
    # Here, because the runner leaves: hand back.
    LEAVING = "leaving"
    # By the matcher, before it started: hand back.
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What all executions of a runner share."""

    settings: Settings
    preparer: Preparer
    artifacts: Artifacts
    pool: WorkerPool
    step_types: Mapping[str, StepType]
    executor: Executor
    # Where complete logs are kept while their steps run.
    logs: Path
    report: Callable[[Lease, step_pb2.StepEvent], None]
    send_log: Callable[[int, log_pb2.LogLines], bool]


class Execution:
    """Executes one lease.

    Args:
        lease: what to execute.
        around: shared.
        claim: what it occupies; None when it is to follow another step in `behind`.
        behind: the worker whose running step it follows.
    """

    def __init__(
        self, lease: Lease, around: Surroundings, *, claim: Claim | None, behind: WarmWorker | None = None
    ) -> None:
        self.lease = lease
        self.started = False
        self._started_at = 0.0
        self._claim = claim
        self._behind = behind
        if behind is not None:
            behind.expect()
        self._around = around
        self._loop = asyncio.get_running_loop()
        self._stop: Stop | None = None
        self._task: WorkerTask | None = None
        self._command: CommandRun | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._error: Mapping[str, Any] | None = None
        # Of an exclusive step: whether it may begin.
        self._granted: asyncio.Future[bool] | None = None
        self._announced = False
        self._step: PreparedStep | None = None
        self._used_bytes = 0
        # When what the engine has heard last about this lease was sent, seconds of the monotonic clock.
        self._heard_at = 0.0
        key = lease.key
        store = LogStore(around.logs, f"{id(self):x}-{key.generation}.log", around.settings.log_limit_bytes)
        self.log = StepLog(key, store, lambda lines: around.send_log(lease.partition, lines))

    @property
    def claim(self) -> Claim | None:
        """What it occupies now, to be given back after `run`."""
        return self._task.claim if self._task is not None else self._claim

    @property
    def disk(self) -> tuple[Path, ...]:
        """Where it may write on this machine; empty before it is prepared."""
        if self._step is None:
            return ()
        scratch = local_path(self._step.scratch)
        return (self._step.directory.root, *([] if scratch is None else [scratch]))

    @property
    def copies(self) -> tuple[Path, ...]:
        """The local copies of artifacts that it reads; none before it is prepared."""
        return () if self._step is None else self._step.copies

    @property
    def _bounds(self) -> Bounds:
        resources = self.lease.request.resources
        return Bounds(
            cpu_milli=resources.cpu_milli,
            memory_bytes=resources.memory_bytes,
            pids=self._around.settings.step_processes,
        )

    @property
    def seconds(self) -> float:
        """How long it has been executing; 0 before it started."""
        return time.monotonic() - self._started_at if self.started else 0.0

    async def run(self) -> None:
        """Executes and reports.

        Raises:
            Requeued: it was not started, or ended with a worker that was stopped for another step; it goes back to the queue.
        """
        try:
            result = await self._attempt()
        except Requeued:
            raise
        except Exception as error:
            result = self._failed(error)
        finally:
            self._give_up_place()
        if self._timer is not None:
            self._timer.cancel()
        await self._report(result)

    def _failed(self, error: Exception) -> step_pb2.StepFailed | None:
        """What an exception means; nothing when the step was stopped while it was being prepared."""
        if self._stop is not None and not self.started:
            return None
        if not isinstance(error, UserStepError):
            _log.exception("step failed in the runner", extra=_fields(self.lease))
        return reports.from_exception(error)

    def stop(self, why: Stop) -> None:
        """Ends it; `run` returns when no process of it is left. The first reason counts, but losing the lease outranks all."""
        if self._stop is None or why is Stop.STALE:
            self._stop = why
        if self._command is not None:
            self._command.stop()
        elif self._task is not None:
            self._stop_in_worker(self._task)
        elif self._granted is not None and not self._granted.done():
            self._granted.set_result(False)

    def overfill(self, used: int) -> None:
        """It occupies `used` bytes, which is more than it may."""
        self._used_bytes = used
        self.stop(Stop.DISK)

    def grant(self) -> None:
        """Nothing of an earlier attempt can be running any more: an exclusive step may begin."""
        if self._granted is not None and not self._granted.done() and self._lifetime > 0:
            self._granted.set_result(True)

    def signal(self, signal: runner_pb2.SignalStep) -> None:
        """Hands a message on to the step. Before it began nothing happens: the lease keeps what has come."""
        if self._command is not None:
            self._command.signal(signal)
        elif self._task is not None and self._task.worker is not None:
            self._task.worker.signal(self._task, signal)

    def withdraw(self) -> None:
        """Hands the step back if it has not started; `run` returns soon then. Nothing happens if it has."""
        if self._announced or self._stop is not None:
            return
        task = self._task
        if task is None:
            self._stop = Stop.WITHDRAWN  # it is being prepared
        elif task.worker is not None:
            for waiting in reversed(task.worker.take_back()):
                if waiting is task:
                    self._stop = Stop.WITHDRAWN
                    task.settle(WorkerOutcome(ending=Ending(reason="stopped")))
                else:
                    waiting.requeue()
            task.worker.settle_idle()

    def tick(self) -> None:
        """Called regularly: what waits for its time, or for room, may go."""
        if self.log.waiting:
            self.log.tick()
        if self._command is not None:
            self._command.look()

    def renew(self, *, ago: float) -> None:
        """A renewal of the lease that was sent `ago` seconds before now has arrived: the supervisor waits on."""
        self._heard_at = max(self._heard_at, time.monotonic() - ago)
        self._extend()

    def _extend(self) -> None:
        seconds = self._lifetime
        if self._command is not None:
            self._command.renew(seconds)
        elif self._task is not None and self._task.worker is not None and self._task.worker.child is not None:
            self._task.worker.child.renew(seconds)

    async def _attempt(self) -> step_pb2.StepSucceeded | step_pb2.StepFailed | None:
        """None: stopped before it began."""
        request = self.lease.request
        step_type = self._around.step_types.get(request.spec.type)
        if step_type is None:
            raise UserStepError("UnknownStepType", f"this runner has no step type {request.spec.type!r}")
        if request.spec.requirements_file and not step_type.has_environments:
            raise UserStepError(
                "InvalidConfig",
                f"steps of type {request.spec.type} have no environment of their own, but step {request.key.path} names "
                f"{request.spec.requirements_file!r}",
            )
        quick = self._around.preparer.is_quick(request.spec)
        step = (
            self._around.preparer.prepare(request)
            if quick
            else await self._off_loop(self._around.preparer.prepare, request)
        )
        self._step = step
        try:
            if quick and step_type.inline:
                launch = step_type.prepare(step, self._around.settings)
            else:
                launch = await self._off_loop(step_type.prepare, step, self._around.settings)
            if request.spec.exclusive:
                await self._await_grant()
            if self._stop is not None:
                return None
            if isinstance(launch, WorkerLaunch):
                return await self._in_worker(step, step_type, launch)
            return await self._as_command(step, step_type, launch)
        finally:
            if step.directory.exists():
                await self._off_loop(step.directory.remove)

    async def _in_worker(
        self, step: PreparedStep, step_type: StepType, launch: WorkerLaunch
    ) -> step_pb2.StepSucceeded | step_pb2.StepFailed | None:
        task = WorkerTask(
            target=launch.target,
            whole=not launch.inputs_as_arguments,
            context=step.context_json,
            log=self.log,
            lane=lane_of(self.lease.request),
            wanted=Amount.wanted(self.lease.request.resources),
            bounds=self._bounds,
            claim=None,
            on_started=self._started,
            on_event=self._event,
            outcome=self._loop.create_future(),
        )
        behind = self._arrive()
        follows = behind is not None and behind.spec == launch.worker and not behind.closed
        task.claim, self._task = self._claim, task
        if behind is not None and follows and (behind.tasks or task.claim is not None):
            behind.submit(task)
        elif task.claim is not None:
            if behind is not None:
                behind.settle_idle()
            await self._around.pool.submit(launch.worker, task)
        else:
            raise Requeued
        self._pass_signals()
        if self.lease.request.spec.exclusive:
            self._extend()
        if self._stop is not None:
            self._stop_in_worker(task)
        outcome = await task.outcome
        return await self._worker_result(step, step_type, outcome)

    async def _worker_result(
        self, step: PreparedStep, step_type: StepType, outcome: WorkerOutcome
    ) -> step_pb2.StepSucceeded | step_pb2.StepFailed | None:
        if outcome.ending is not None:
            if outcome.ending.reason == "stopped" and self._stop is None:
                raise Requeued
            return None if self._stop is not None else reports.from_ending(outcome.ending, self.log.tail())
        worker = self._task.worker if self._task is not None else None
        if self._stop is not None and worker is not None and worker.closed:
            # It ended by itself when it was asked to; what it gave may be half of it.
            await worker.gone()
            return None
        assert outcome.answer is not None
        if outcome.answer["kind"] == "error":
            return reports.from_error_event(outcome.answer)
        return await self._collect(step, step_type, outcome.answer["outputs"])

    async def _as_command(
        self, step: PreparedStep, step_type: StepType, launch: CommandLaunch
    ) -> step_pb2.StepSucceeded | step_pb2.StepFailed | None:
        if self._claim is None:
            raise Requeued
        step.directory.create()
        step.directory.write_context(step.context_json)
        self._command = CommandRun(launch, step.directory, self.log, self._event)
        self._started()
        self._pass_signals()
        ending = await self._command.run(
            deadline_seconds=self._lifetime,
            bounds=self._bounds if launch.bounded else Bounds(),
        )
        if ending.reason == "stopped" or self._stop is not None:
            return None
        if ending != Ending(code=0):
            return (
                reports.from_error_event(self._error)
                if self._error
                else reports.from_ending(ending, self.log.tail())
            )
        return await self._collect(step, step_type, {})

    async def _collect(
        self, step: PreparedStep, step_type: StepType, returned: Mapping[str, Any]
    ) -> step_pb2.StepSucceeded:
        if step_type.collect is not None:
            await self._off_loop(step_type.collect, step, self._around.settings)
        arguments = (step.spec, step.directory, self._around.artifacts, returned)
        quick = outputs.is_quick(step.spec) and not step.directory.exists()
        collected = (
            outputs.collect(*arguments) if quick else await self._off_loop(outputs.collect, *arguments)
        )
        return step_pb2.StepSucceeded(outputs_json=collected)

    async def _report(self, result: step_pb2.StepSucceeded | step_pb2.StepFailed | None) -> None:
        if result is None and self._stop in (Stop.TIMEOUT, Stop.DISK):
            result = self._overrun()
        if not isinstance(result, step_pb2.StepSucceeded):
            await self._clear_scratch()
        log_json = await self._finish_log()
        key = self.lease.key
        if self._stop is Stop.STALE:
            return
        if result is None and self._stop in (Stop.LEAVING, Stop.WITHDRAWN):
            reason = "withdrawn" if self._stop is Stop.WITHDRAWN else "the runner is leaving"
            report = reports.event(key, handed_back=step_pb2.StepHandedBack(reason=reason))
        elif result is None:
            report = reports.event(key, stopped=step_pb2.StepStopped(log_json=log_json))
        elif isinstance(result, step_pb2.StepSucceeded):
            result.log_json = log_json
            report = reports.event(key, succeeded=result)
        else:
            result.log_json = log_json
            report = reports.event(key, failed=result)
        self._around.report(self.lease, report)

    def _overrun(self) -> step_pb2.StepFailed:
        """The failure of a step that was stopped here because it used more than it may."""
        if self._stop is Stop.DISK:
            used, limit = (size / 2**20 for size in (self._used_bytes, self._around.settings.step_disk_bytes))
            text = f"the step's directory and scratch space hold {used:.1f} MiB, its quota is {limit:.1f} MiB"
            return reports.failed(reports.USER, "DiskQuota", text, self.log.tail())
        seconds = self.lease.request.spec.timeout_ms / 1000
        text = f"the attempt ran longer than its limit of {seconds:g} s"
        return reports.failed(reports.USER, "Timeout", text, self.log.tail())

    async def _clear_scratch(self) -> None:
        """What a lease that gave no result has left in its local scratch space is of no use to anybody."""
        for path in self.disk[1:]:
            if path.exists():
                await self._off_loop(remove_tree, path)

    async def _finish_log(self) -> str:
        """Sends the last lines, stores the complete log, and returns its reference as JSON."""
        self.log.end_streams()
        self.log.flush()
        store = self.log.store
        if store.size == 0 or self._stop is Stop.STALE:
            store.remove()
            return ""
        reference: str = await self._off_loop(self._store_log)
        return reference

    def _store_log(self) -> str:
        path = self.log.store.finish()
        assert path is not None
        try:
            return json.dumps(
                {"artifact": self._around.artifacts.put(path, "text", "")},
                separators=(",", ":"),
                sort_keys=True,
            )
        except Exception:
            # The lines have left by the log topic; a result must not fail for its log.
            _log.exception("the log could not be stored", extra=_fields(self.lease))
            return ""
        finally:
            self.log.store.remove()

    def _started(self) -> None:
        if self.started:
            return
        self.started = True
        self._started_at = time.monotonic()
        self._announce()
        timeout = self.lease.request.spec.timeout_ms
        if timeout > 0:
            self._timer = self._loop.call_later(timeout / 1000, self.stop, Stop.TIMEOUT)

    def _announce(self) -> None:
        """Says that the lease is taken."""
        if not self._announced:
            self._announced = True
            self._around.report(self.lease, reports.event(self.lease.key, started=step_pb2.StepStarted()))

    async def _await_grant(self) -> None:
        """Returns when the exclusive step may begin, or is to stop."""
        if self._stop is None:
            self._granted = self._loop.create_future()
            self._heard_at = time.monotonic()
            self._announce()
            await self._granted

    def _pass_signals(self) -> None:
        """Hands on what came before the step began."""
        for signal in self.lease.signals.values():
            self.signal(signal)

    @property
    def _lifetime(self) -> float:
        """Seconds after which the step's supervisor ends it if no renewal arrives.

        For an exclusive step they count from when the engine may have heard of it last: a grant, too, may have come late.
        """
        settings = self._around.settings
        if not self.lease.request.spec.exclusive:
            return settings.supervisor_seconds
        return max(0.0, self._heard_at + settings.exclusive_seconds - time.monotonic())

    def _event(self, message: Mapping[str, Any]) -> None:
        if message.get("kind") == "error":
            self._error = message
            return
        try:
            event = reports.from_protocol(self.lease.key, message)
        except reports.MALFORMED as error:
            self.log.remark(f"an event of the step does not follow the step protocol ({error})")
            return
        if event is not None:
            self._around.report(self.lease, event)

    def _stop_in_worker(self, task: WorkerTask) -> None:
        worker = task.worker
        if worker is None:
            return
        for waiting in reversed(worker.take_back()):
            if waiting is task:
                task.settle(WorkerOutcome(ending=Ending(reason="stopped")))
            else:
                waiting.requeue()
        if task in worker.tasks:
            worker.close()
        else:
            worker.settle_idle()

    def _arrive(self) -> WarmWorker | None:
        """Takes up the place that was promised, with the claim that may wait there; None when none is promised any more."""
        behind, self._behind = self._behind, None
        if behind is not None:
            claim = behind.arrive()
            self._claim = self._claim or claim
        return behind

    def _give_up_place(self) -> None:
        """When the place was promised and never taken up."""
        behind = self._arrive()
        if behind is not None:
            behind.settle_idle()

    async def _off_loop(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await self._loop.run_in_executor(self._around.executor, function, *arguments)


def lane_of(request: step_pb2.StepRequest) -> tuple[str, ...]:
    """Steps of one lane may follow each other in one worker."""
    spec = request.spec
    return spec.type, spec.code_bundle, spec.requirements_file, str(spec.isolation)


def _fields(lease: Lease) -> dict[str, Any]:
    key = lease.key
    return {"run": key.run_id, "step": key.path, "attempt": key.attempt, "generation": key.generation}
