"""A runner that calls the functions of steps on threads of this process, and lets fakes do the work of others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry

from kaon.dsl.named import NamedFunction
from kaon.step import call as calling
from kaon.step.context import StepContext, StepSkipped
from kaon.step.outputs import named
from kaon.testing.fakes import Fake
from kaon.testing.mailbox import Mailbox
from kaon_runner.artifacts.gateway import ArtifactGateway
from kaon_runner.bootstrap import RunnerService
from kaon_runner.capabilities.step_types import StepTypes
from kaon_runner.composition import Parts
from kaon_runner.execution.execution import Execution
from kaon_runner.execution.reporting import Result
from kaon_runner.execution.surroundings import Stop
from kaon_runner.outbox import reports
from kaon_runner.settings import Settings
from kaon_runner.steptypes.base import PreparedStep, StepType
from kaon_runner.steptypes.python import PythonStepType
from kaon_runner.telemetry import RunnerTelemetry
from kaon_runner.transport.base import Transport
from kaon_runner.workers.pool import WorkerPool
from kaon_telemetry.metrics import RunnerMetrics
from kaon_telemetry.tracing import NoSpans
from kaon_wire import canonical
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Who does the work of steps in this process."""

    # By the name that the definition has.
    functions: Mapping[str, Any]
    # By step type.
    fakes: Mapping[str, Fake]

    def performs(self, step_type: str) -> bool:
        """Tell whether steps of a type run in this process."""
        return step_type == "python" or step_type in self.fakes

    def perform(self, step: PreparedStep, context: StepContext) -> dict[str, Any]:
        """Do the work of a step, and return its outputs."""
        function = self._function(str(step.config.get("entry", "")))
        fake = self.fakes.get(step.spec.type)
        if fake is not None:
            returned = fake.perform(context, function)
            return {} if context.serves else named(returned, context.outputs)
        assert function is not None, step.config
        return calling.call_function(function, context)

    def _function(self, entry: str) -> Callable[..., Any] | None:
        function = self.functions.get(entry)
        if isinstance(function, NamedFunction):
            return calling.load(entry)[0]
        return function


class InProcessRunner(RunnerService):
    """A runner of a test.

    Args:
        stage: See `Stage`.
        settings: See `Settings`.
        transport: The transport, not started.
    """

    def __init__(self, stage: Stage, settings: Settings, transport: Transport) -> None:
        telemetry = RunnerTelemetry(
            settings.runner_id, RunnerMetrics(CollectorRegistry()), NoSpans()
        )
        super().__init__(settings, transport, ArtifactGateway(settings), telemetry)
        self._stage = stage

    def _parts(self, types: StepTypes, pool: WorkerPool, executor: ThreadPoolExecutor) -> Parts:
        """Return the parts of any runner, with what this process performs in front."""
        fakes: dict[str, StepType] = {name: _Performed(name) for name in self._stage.fakes}
        types = StepTypes(
            available={**types.available, **fakes},
            labels={**types.labels, **{f"step-type.{name}": "yes" for name in fakes}},
            missing=types.missing,
        )
        self.step_types = types
        execution = partial(InProcess, stage=self._stage)
        return replace(super()._parts(types, pool, executor), execution=execution)


class _Performed(PythonStepType):
    """Stands for a type that a fake performs; it is never launched."""

    def __init__(self, name: str) -> None:
        self.name = name


class InProcess(Execution):
    """An execution of a step in this process; of types that are not performed here, as at any runner."""

    def __init__(self, *arguments: Any, stage: Stage, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stage = stage
        self._context: StepContext | None = None
        self._mailbox: Mailbox | None = None
        self._halted: asyncio.Future[None] = self._loop.create_future()

    def stop(self, why: Stop) -> None:
        """Stop the step: one that watches `cancelled` ends by itself, from others no result is awaited."""
        super().stop(why)
        watches = self._context is not None and self._context.cancel()
        if not watches and not self._halted.done():
            self._halted.set_result(None)

    def signal(self, signal: runner_pb2.SignalStep) -> None:
        """Deliver a signal; before the start the lease keeps it."""
        if self._mailbox is None:
            super().signal(signal)
        else:
            payload = canonical.loads(signal.payload_json)
            self._mailbox.put(signal.signal_seq, signal.name, payload)

    async def _attempt(self) -> Result:
        request = self.lease.request
        if not self._stage.performs(request.spec.type):
            return await super()._attempt()
        step = await self._prepared(request)
        self._step = step
        try:
            if request.spec.exclusive:
                await self._await_grant()
            if self._stop is not None:
                return None
            self._started()
            return await self._performed(step)
        finally:
            if self._serving is not None:
                await self._serving
            if step.directory.exists():
                await self._around.off_loop(step.directory.remove)

    async def _performed(self, step: PreparedStep) -> Result:
        self._mailbox = Mailbox()
        document = json.loads(step.context_json)
        self._context = StepContext(document, self._tell, self._mailbox.inbox)
        self._pass_signals()
        working = asyncio.ensure_future(
            self._around.off_loop(_answer, self._stage, step, self._context)
        )
        waited: set[asyncio.Future[Any]] = {working, self._halted}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if self._stop is not None:
            return None
        answer = await working
        if answer["kind"] == "error":
            return reports.from_error_event(answer)
        if step.spec.serves:
            return step_pb2.StepSucceeded()
        step_type = self._around.step_types[step.spec.type]
        return await self._collect(step, step_type, answer["outputs"])

    def _tell(self, event: dict[str, Any]) -> None:
        """Report what the step tells, from its thread."""
        self._loop.call_soon_threadsafe(self._event, event)


def _answer(stage: Stage, step: PreparedStep, context: StepContext) -> dict[str, Any]:
    """Do the work of a step, and return its answer in the words of the step protocol."""
    try:
        return {"kind": "succeeded", "outputs": stage.perform(step, context)}
    except (Exception, SystemExit, StepSkipped) as error:
        return calling.answer_to(error)
