"""One lease from start to end: prepare, wait for the grant, execute, collect, report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import structlog

from kaon_runner.disk.space import local_path, remove_tree
from kaon_runner.errors import UserStepError
from kaon_runner.execution.in_command import CommandRun
from kaon_runner.execution.in_worker import InWorker, lane_of
from kaon_runner.execution.reporting import Reporter, Result
from kaon_runner.execution.surroundings import Stop, Surroundings
from kaon_runner.leases.slots import Claim
from kaon_runner.leases.table import Lease, Phase
from kaon_runner.outbox import reports
from kaon_runner.outputs import collecting
from kaon_runner.outputs.passing_on import given_to
from kaon_runner.steptypes.base import CommandLaunch, PreparedStep, StepType, WorkerLaunch
from kaon_runner.supervision.child import Bounds, Ending
from kaon_runner.workers.process import Requeued, WarmWorker, WorkerOutcome, WorkerTask
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

log = structlog.get_logger(__name__)


class Execution:
    """Executes one lease.

    Args:
        lease: The lease.
        around: The shared surroundings.
        claim: The amounts that it occupies; None when it follows another step in `behind`.
        behind: The worker whose running step it follows.
    """

    def __init__(
        self,
        lease: Lease,
        around: Surroundings,
        *,
        claim: Claim | None,
        behind: WarmWorker | None = None,
    ) -> None:
        self.lease = lease
        self.started = False
        # The environment that is being built for it.
        self.building: runner_pb2.EnvironmentBuild | None = None
        self._started_at = 0.0
        self._around = around
        self._reporter = Reporter(lease, around)
        # The start of a step that follows by succession was reported with the success before it.
        self._reporter.announced = lease.by_succession
        self._in_worker = InWorker(around.pool, claim=claim, behind=behind)
        self._loop = asyncio.get_running_loop()
        self._stop: Stop | None = None
        self._command: CommandRun | None = None
        self._timer: asyncio.TimerHandle | None = None
        # Of an exclusive step, and of one that follows by succession: whether it may begin.
        self._granted: asyncio.Future[bool] | None = None
        self._step: PreparedStep | None = None
        # Whether its worker says that nothing is in the step's directory, which it keeps for another step.
        self._kept_by_worker = False
        self._used_bytes = 0
        # Of a step that serves: the report of that, and why it could not be made.
        self._serving: asyncio.Task[None] | None = None
        self._fault: step_pb2.StepFailed | None = None
        # When the last acknowledged renewal of this lease was sent, in seconds of the monotonic clock.
        self._heard_at = 0.0

    @property
    def claim(self) -> Claim | None:
        """Return its claim, to be released after `run`."""
        return self._in_worker.claim

    def give_claim(self) -> None:
        """Note that its claim went to the step that follows by succession."""
        self._in_worker.give_claim()

    @property
    def stopping(self) -> bool:
        """Tell whether it was asked to stop."""
        return self._stop is not None

    @property
    def disk(self) -> tuple[Path, ...]:
        """Return the local paths that it may write; empty before it is prepared."""
        if self._step is None:
            return ()
        scratch = local_path(self._step.scratch)
        return (self._step.directory.root, *([] if scratch is None else [scratch]))

    @property
    def copies(self) -> tuple[Path, ...]:
        """Return the local copies of artifacts that it reads; none before it is prepared."""
        return () if self._step is None else self._step.copies

    @property
    def _bounds(self) -> Bounds:
        wanted = self.lease.wanted
        return _bounds(wanted.cpu_milli, wanted.memory_bytes, self._around.settings.step_processes)

    @property
    def seconds(self) -> float:
        """Return how long it has been executing, in seconds; 0 before it started."""
        return time.monotonic() - self._started_at if self.started else 0.0

    async def run(self) -> None:
        """Execute and report.

        Raises:
            Requeued: The step was not started, or ended with a worker that was stopped for another step; it returns to the queue.
        """
        try:
            result = await self._attempt()
        except Requeued:
            raise
        except Exception as error:
            result = self._failed(error)
        finally:
            self._in_worker.give_up_place()
        if self._stop is Stop.FAULT and not isinstance(result, step_pb2.StepFailed):
            # Also when it ended by itself before the stop reached it.
            result = self._fault
        if self._timer is not None:
            self._timer.cancel()
        if not isinstance(result, step_pb2.StepSucceeded):
            await self._clear_scratch()
        await self._reporter.finish(result, self._stop, used_bytes=self._used_bytes)

    def _failed(self, error: Exception) -> step_pb2.StepFailed | None:
        """Return the failure that an exception means; None when the step was stopped during its preparation."""
        if self._stop is not None and not self.started:
            return None
        if not isinstance(error, UserStepError):
            log.exception("step failed in the runner", **self.lease.fields)
        return reports.from_exception(error)

    def stop(self, why: Stop) -> None:
        """Stop the step; `run` returns when no process of it is left.

        The first reason counts, but a lost lease outranks all.
        """
        if self._stop is None or why is Stop.STALE:
            self._stop = why
        if self._command is not None:
            self._command.stop()
        elif self._in_worker.submitted:
            self._in_worker.stop()
        elif self._granted is not None and not self._granted.done():
            self._granted.set_result(False)

    def overfill(self, used: int) -> None:
        """Stop a step that occupies `used` bytes, more than its limit."""
        self._used_bytes = used
        self.stop(Stop.DISK)

    def grant(self) -> None:
        """Grant an exclusive step: no earlier attempt can still be running."""
        if self._granted is not None and not self._granted.done() and self._lifetime > 0:
            self._granted.set_result(True)

    def acknowledge(self) -> None:
        """Let a step that follows by succession begin: the success before it cannot be lost any more."""
        if self._granted is not None and not self._granted.done():
            self._granted.set_result(True)

    def signal(self, signal: runner_pb2.SignalStep) -> None:
        """Deliver a signal to the step. Before its start nothing happens: the lease keeps earlier signals."""
        if self._command is not None:
            self._command.signal(signal)
        else:
            self._in_worker.signal(signal)

    def withdraw(self) -> None:
        """Hand the step back if it has not started; then `run` returns soon. Otherwise do nothing."""
        if self._reporter.announced or self._stop is not None:
            return
        # A step that no worker has is being prepared.
        if not self._in_worker.submitted or self._in_worker.withdraw():
            self._stop = Stop.WITHDRAWN

    def tick(self) -> None:
        """Advance whatever waits for a time or for room. Called regularly."""
        if self._reporter.log.waiting:
            self._reporter.log.tick()
        if self._command is not None:
            self._command.look()

    def renew(self, *, ago: float) -> None:
        """Prolong the supervisor's deadline: a renewal sent `ago` seconds before now was acknowledged."""
        self._heard_at = max(self._heard_at, time.monotonic() - ago)
        self._extend()

    def _extend(self) -> None:
        seconds = self._lifetime
        if self._command is not None:
            self._command.renew(seconds)
        else:
            self._in_worker.renew(seconds)

    def _tell_building(self) -> None:
        """Tell in the step's log and in heartbeats that its environment is being built: until then it does not start."""
        spec = self.lease.request.spec
        file = spec.requirements_file
        key = self.lease.key
        self.building = runner_pb2.EnvironmentBuild(
            # Without the lease's token: people see it.
            key=step_pb2.StepKey(
                run_id=key.run_id, path=key.path, attempt=key.attempt, generation=key.generation
            ),
            workflow=spec.workflow,
            requirements_file=file,
        )
        self.building.start_time.GetCurrentTime()
        self._around.beat()
        self._reporter.log.remark(
            f"the environment of {file} is being built at this runner, once; the step starts when it is there"
        )
        self._reporter.log.flush()

    async def _prepared(self, request: step_pb2.StepRequest) -> PreparedStep:
        """Prepare the step on a thread; its log tells when that builds an environment."""
        tell = partial(asyncio.get_running_loop().call_soon_threadsafe, self._tell_building)
        try:
            return await self._around.off_loop(lambda: self._around.preparer.prepare(request, tell))
        finally:
            self.building = None

    async def _attempt(self) -> Result:
        """Execute the attempt; return None when it was stopped before it began."""
        request = self.lease.request
        step_type = self._around.step_types.get(request.spec.type)
        if step_type is None:
            raise UserStepError(
                "UnknownStepType", f"this runner has no step type {request.spec.type!r}"
            )
        if request.spec.requirements_file and not step_type.has_environments:
            raise UserStepError(
                "InvalidConfig",
                f"steps of type {request.spec.type} have no environment of their own, but step {request.key.path} names "
                f"{request.spec.requirements_file!r}",
            )
        quick = self._around.preparer.is_quick(request.spec)
        step = (
            self._around.preparer.prepare(request, self._tell_building)
            if quick
            else await self._prepared(request)
        )
        self._step = step
        try:
            if quick and step_type.inline:
                launch = step_type.prepare(step, self._around.settings)
            else:
                launch = await self._around.off_loop(step_type.prepare, step, self._around.settings)
            if request.spec.exclusive:
                await self._await_grant()
            elif self.lease.phase is Phase.FOLLOWING and self._stop is None:
                self._granted = self._loop.create_future()
                await self._granted
            if self._stop is not None:
                return None
            if isinstance(launch, WorkerLaunch):
                return await self._as_worker_task(step, step_type, launch)
            return await self._as_command(step, step_type, launch)
        finally:
            if self._serving is not None:
                await self._serving
            if not self._kept_by_worker and step.directory.exists():
                await self._around.off_loop(step.directory.remove)

    async def _as_worker_task(
        self, step: PreparedStep, step_type: StepType, launch: WorkerLaunch
    ) -> Result:
        if step_type.collect is not None:
            # It writes there after the step: a directory that is there before is not the worker's to keep.
            step.directory.create()
        task = WorkerTask(
            target=launch.target,
            whole=not launch.inputs_as_arguments,
            context=step.context_json,
            log=self._reporter.log,
            lane=lane_of(self.lease.request),
            wanted=self.lease.wanted,
            bounds=self._bounds,
            claim=None,
            on_started=self._started,
            on_event=self._event,
            outcome=self._loop.create_future(),
        )
        await self._in_worker.submit(launch.worker, task)
        self._pass_signals()
        if self.lease.request.spec.exclusive:
            self._extend()
        if self._stop is not None:
            self._in_worker.stop()
        return await self._worker_result(step, step_type, await task.outcome)

    async def _worker_result(
        self, step: PreparedStep, step_type: StepType, outcome: WorkerOutcome
    ) -> Result:
        if outcome.answer is not None:
            self._kept_by_worker = outcome.answer.get("kept") is True
        if outcome.ending is not None:
            if outcome.ending.reason == "stopped" and self._stop is None:
                raise Requeued
            if self._stop is not None:
                return None
            return reports.from_ending(outcome.ending, self._reporter.log.tail())
        if self._stop is not None and await self._in_worker.left_with_worker():
            # It ended by itself after the stop request; its outputs may be incomplete.
            return None
        assert outcome.answer is not None
        if outcome.answer["kind"] == "error":
            return reports.from_error_event(outcome.answer)
        if step.spec.serves:
            return step_pb2.StepSucceeded()
        return await self._collect(step, step_type, outcome.answer["outputs"])

    async def _as_command(
        self, step: PreparedStep, step_type: StepType, launch: CommandLaunch
    ) -> Result:
        if self._in_worker.claim is None:
            raise Requeued
        step.directory.create()
        step.directory.write_context(step.context_json)
        self._command = CommandRun(launch, step.directory, self._reporter.log, self._event)
        self._started()
        self._pass_signals()
        ending = await self._command.run(
            deadline_seconds=self._lifetime,
            bounds=self._bounds if launch.bounded else Bounds(),
        )
        if ending.reason == "stopped" or self._stop is not None:
            return None
        if ending != Ending(code=0):
            if self._reporter.error:
                return reports.from_error_event(self._reporter.error)
            return reports.from_ending(ending, self._reporter.log.tail())
        if step.spec.serves:
            return step_pb2.StepSucceeded()
        return await self._collect(step, step_type, {})

    def _event(self, message: Mapping[str, Any]) -> None:
        """Report an event of the step protocol; of a step that serves its outputs are collected first."""
        if message.get("kind") != "serving":
            self._reporter.event(message)
        elif not self.lease.request.spec.serves:
            self._reporter.log.remark("the step says that it serves; declare it with serves=True")
        elif self._serving is None:
            self._serving = self._loop.create_task(self._serve(message), name="serve")

    async def _serve(self, message: Mapping[str, Any]) -> None:
        """Report that the step serves, with its outputs; stop it when they are not the declared ones."""
        step = self._step
        assert step is not None
        returned = message.get("outputs", {})
        try:
            if not isinstance(returned, dict):
                raise UserStepError(
                    "OutputMismatch", "the outputs of a serving event are no object"
                )
            collected = await self._collect(step, self._around.step_types[step.spec.type], returned)
        except Exception as error:
            self._fault = self._failed(error)
            self.stop(Stop.FAULT)
            return
        if self._stop is None:
            self._reporter.serves(collected.outputs_json)

    async def _collect(
        self, step: PreparedStep, step_type: StepType, returned: Mapping[str, Any]
    ) -> step_pb2.StepSucceeded:
        if step_type.collect is not None:
            await self._around.off_loop(step_type.collect, step, self._around.settings)
        written = not self._kept_by_worker and step.directory.exists()
        arguments = (
            step.spec,
            step.directory if written else None,
            self._around.artifacts,
            returned,
            partial(given_to, step),
        )
        collected = (
            collecting.collect(*arguments)
            if not written and collecting.is_quick(step.spec)
            else await self._around.off_loop(collecting.collect, *arguments)
        )
        succeeded = step_pb2.StepSucceeded()
        for name, text in collected.items():
            # Given to the constructor they go through the generic mappings of the standard library.
            succeeded.outputs_json[name] = text
        return succeeded

    async def _clear_scratch(self) -> None:
        """Remove the local scratch space of a lease without a result."""
        for path in self.disk[1:]:
            if path.exists():
                await self._around.off_loop(remove_tree, path)

    def _started(self) -> None:
        if self.started:
            return
        self.started = True
        self._started_at = time.monotonic()
        self._reporter.announce()
        timeout = self.lease.request.spec.timeout_ms
        if timeout > 0:
            self._timer = self._loop.call_later(timeout / 1000, self.stop, Stop.TIMEOUT)

    async def _await_grant(self) -> None:
        """Return when the exclusive step may begin, or is stopped."""
        if self._stop is None:
            self._granted = self._loop.create_future()
            self._heard_at = time.monotonic()
            self._reporter.announce()
            await self._granted

    def _pass_signals(self) -> None:
        """Deliver the signals that came before the step began."""
        for signal in self.lease.signals.values():
            self.signal(signal)

    @property
    def _lifetime(self) -> float:
        """Return the seconds after which the step's supervisor ends it without a renewal.

        For an exclusive step they count from the last renewal that the engine may have read: a grant, too,
        may arrive late.
        """
        settings = self._around.settings
        if not self.lease.request.spec.exclusive:
            return settings.supervisor_seconds
        return max(0.0, self._heard_at + settings.exclusive_seconds - time.monotonic())


@lru_cache(maxsize=256)
def _bounds(cpu_milli: int, memory_bytes: int, pids: int) -> Bounds:
    """Return limits, the same value for all steps with the same need."""
    return Bounds(cpu_milli=cpu_milli, memory_bytes=memory_bytes, pids=pids)
