"""Runners: real ones, of `kaon_runner.composition.compose_runner`; only executions are played."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import CollectorRegistry

import kaon_runner.outbox.heartbeats
import kaon_runner.outbox.reports
import kaon_runner.runner
from kaon_runner.composition import Parts, compose_runner
from kaon_runner.execution.execution import Execution
from kaon_runner.execution.surroundings import Stop, Surroundings
from kaon_runner.leases.slots import Amount, Claim
from kaon_runner.leases.table import Lease, Phase
from kaon_runner.outbox import reports
from kaon_runner.outbox.outbox import unsigned
from kaon_runner.preparation.preparer import Preparer
from kaon_runner.runner import Runner
from kaon_runner.settings import Settings
from kaon_runner.steptypes.python import PythonStepType
from kaon_runner.telemetry import RunnerTelemetry
from kaon_runner.workers.pool import WorkerPool
from kaon_telemetry.metrics import RunnerMetrics
from kaon_telemetry.tracing import NoSpans
from kaon_wire import canonical
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .broker import RunnerTransport
from .loop import Process, Scheduler

# Seconds for which a step serves others before it dies.
_LONGEST_SERVICE = 15.0


@dataclass(kw_only=True)
class Behaviour:
    """What steps do. Shares are between 0 and 1."""

    # Attempts that fail by the step's own fault, and by the platform's.
    fails: float = 0.15
    breaks: float = 0.05
    # The longest execution, in seconds.
    longest: float = 3.0


class Clock:
    """Stands in for module `time` in the runner: the clocks of the process that is running."""

    def __init__(self) -> None:
        self.scheduler: Scheduler | None = None

    def time_ns(self) -> int:
        return self._process.now_us() * 1000

    def monotonic(self) -> float:
        return self._process.monotonic()

    @property
    def _process(self) -> Process:
        assert self.scheduler is not None
        process = self.scheduler.current
        assert process is not None
        return process


class Played:
    """Stands in for `Execution`: takes some time, then reports; keeps the real one's contract towards the runner."""

    def __init__(
        self,
        lease: Lease,
        around: Surroundings,
        *,
        claim: Claim | None,
        behind: object,
        world: World,
    ) -> None:
        self.lease = lease
        self.claim = claim
        self.started = False
        # It builds no environment.
        self.building = None
        self.world = world
        self._report_event = around.report
        self._exclusive_seconds = around.settings.exclusive_seconds
        self._begun = 0.0
        self._stop: Stop | None = None
        self._announced = lease.by_succession
        self._heard = world.process.monotonic()
        self._granted: asyncio.Future[bool] | None = None
        self._ended: asyncio.Event = asyncio.Event()
        world.witness.taken(self)

    @property
    def seconds(self) -> float:
        return self.world.process.monotonic() - self._begun if self.started else 0.0

    async def run(self) -> None:
        world, spec = self.world, self.lease.request.spec
        await asyncio.sleep(world.random.random() * 0.02)
        if self.lease.phase is Phase.FOLLOWING and self._stop is None:
            self._granted = asyncio.get_running_loop().create_future()
            await self._granted
        if spec.exclusive and self._stop is None:
            self._granted = asyncio.get_running_loop().create_future()
            self._heard = world.process.monotonic()
            self._announce()
            await self._granted
        if self._stop is None:
            await self._execute()
        self._report()

    async def _execute(self) -> None:
        world, spec = self.world, self.lease.request.spec
        self.started = True
        self._begun = world.process.monotonic()
        self._announce()
        world.witness.began(self, self._lifetime)
        seconds = world.random.random() ** 2 * world.behaviour.longest
        limit = spec.timeout_ms / 1000 or float("inf")
        if spec.serves and world.random.random() >= world.behaviour.fails:
            await self._serve(seconds)
        try:
            await asyncio.wait_for(self._ended.wait(), min(seconds, limit))
        except TimeoutError:
            if seconds > limit:
                self.stop(Stop.TIMEOUT)
        world.witness.ended(self)

    async def _serve(self, seconds: float) -> None:
        """Serve after a while, for rather long; sometimes die before anybody asks for the end.

        None serves for ever: those of many runs could occupy all slots, and what they serve would find none.
        """
        try:
            await asyncio.wait_for(self._ended.wait(), seconds)
        except TimeoutError:
            told = step_pb2.StepServes(outputs_json=self._outputs())
            self._report_event(self.lease, reports.event(self.lease.key, serves=told))
        if self.world.random.random() >= self.world.behaviour.fails:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _LONGEST_SERVICE)

    def _announce(self) -> None:
        if not self._announced:
            self._announced = True
            self._report_event(
                self.lease, reports.event(self.lease.key, started=step_pb2.StepStarted())
            )

    def _report(self) -> None:
        if self._stop is Stop.STALE:
            return
        key = self.lease.key
        if self._stop in (Stop.LEAVING, Stop.WITHDRAWN):
            event = reports.event(key, handed_back=step_pb2.StepHandedBack(reason="leaving"))
        elif self._stop is Stop.TIMEOUT:
            event = reports.event(key, failed=reports.failed(reports.USER, "Timeout", "too long"))
        elif self._stop is not None:
            event = reports.event(key, stopped=step_pb2.StepStopped())
        else:
            event = self._result()
        self._report_event(self.lease, event)

    def _result(self) -> step_pb2.StepEvent:
        world, key = self.world, self.lease.key
        draw = world.random.random()
        if draw < world.behaviour.fails:
            return reports.event(
                key,
                failed=reports.failed(
                    reports.USER, "ValueError", "no", exit_code=len(key.path) % 3
                ),
            )
        if draw < world.behaviour.fails + world.behaviour.breaks:
            return reports.event(key, failed=reports.failed(reports.PLATFORM, "Disk", "full"))
        if draw < 0.5:
            metric = step_pb2.StepMetric(name="loss", value=round(draw, 3))
            self._report_event(self.lease, reports.event(key, metric=metric))
        return reports.event(key, succeeded=step_pb2.StepSucceeded(outputs_json=self._outputs()))

    def _outputs(self) -> dict[str, str]:
        declared = self.lease.request.spec.outputs
        return {name: self._value(kind) for name, kind in sorted(declared.items())}

    def _value(self, kind: int) -> str:
        if kind == d.VALUE_TYPE_BOOL:
            return canonical.dumps(self.world.random.random() < 0.5)
        if kind == d.VALUE_TYPE_LIST:
            return canonical.dumps(list(range(int(self.world.random.random() * 4))))
        # Says whose result it is.
        return canonical.dumps(self.world.incarnation)

    def stop(self, why: Stop) -> None:
        self.world.witness.stopped(self, why)
        if self._stop is None or why is Stop.STALE:
            self._stop = why
        if self._granted is not None and not self._granted.done():
            self._granted.set_result(False)
        self._ended.set()

    def killed(self) -> None:
        """Its supervisor has ended it: no renewal had arrived for too long."""
        self.world.process.call_soon(self.stop, Stop.STALE)

    def grant(self) -> None:
        if self._granted is not None and not self._granted.done() and self._lifetime > 0:
            self._granted.set_result(True)

    def acknowledge(self) -> None:
        if self._granted is not None and not self._granted.done():
            self._granted.set_result(True)

    def give_claim(self) -> None:
        self.claim = None

    @property
    def stopping(self) -> bool:
        return self._stop is not None

    def signal(self, signal: object) -> None:
        """A signal makes it end sooner."""
        self._ended.set()

    def withdraw(self) -> None:
        if not self._announced and self._stop is None:
            self._stop = Stop.WITHDRAWN

    def renew(self, *, ago: float) -> None:
        self._heard = max(self._heard, self.world.process.monotonic() - ago)
        if self.started:
            self.world.witness.renewed(self, self._lifetime)

    def tick(self) -> None:
        """There is no output to look at."""

    @property
    def _lifetime(self) -> float:
        if not self.lease.request.spec.exclusive:
            return float("inf")
        return max(0.0, self._heard + self._exclusive_seconds - self.world.process.monotonic())


class Witness:
    """Sees what really runs. The invariants' side of a runner; see `checks`."""

    def began(self, execution: Played, lifetime: float) -> None: ...

    def renewed(self, execution: Played, lifetime: float) -> None: ...

    def ended(self, execution: Played) -> None: ...

    def stopped(self, execution: Played, why: Stop) -> None: ...

    def taken(self, execution: Played) -> None: ...

    def works(self, incarnation: str, runner: Runner) -> None: ...


class _Pool:
    """There are no warm workers."""

    def look(self) -> None: ...

    def room_behind(self, lane: object, wanted: object) -> None: ...

    def renew_idle(self, seconds: float) -> None: ...

    def warm_keys(self) -> list[str]:
        return []


@dataclass(frozen=True, kw_only=True)
class World:
    """What the played executions of one incarnation share."""

    process: Process
    incarnation: str
    behaviour: Behaviour
    random: random.Random
    witness: Witness


_clock = Clock()
# What `play` replaces.
REPLACED = (
    (kaon_runner.outbox.heartbeats, "time"),
    (kaon_runner.outbox.reports, "time"),
    (kaon_runner.runner, "_TICK_SECONDS"),
)


def play(scheduler: Scheduler) -> None:
    """Puts the simulated clock in place of the real one, in this process."""
    _clock.scheduler = scheduler
    for (module, name), stand_in in zip(REPLACED, (_clock, _clock, 60.0), strict=True):
        setattr(module, name, stand_in)


async def work(settings: Settings, transport: RunnerTransport, world: World) -> None:
    """One incarnation, until its process dies."""
    none: Any = SimpleNamespace()
    parts = Parts(
        incarnation=world.incarnation,
        transport=transport,
        telemetry=RunnerTelemetry(
            settings.runner_id, RunnerMetrics(CollectorRegistry()), NoSpans()
        ),
        capacity=Amount(slots=settings.slots, cpu_milli=1000),
        labels={"step-type.python": "yes"},
        step_types={"python": PythonStepType()},
        preparer=cast(Preparer, SimpleNamespace(is_quick=lambda spec: False, stop=lambda: None)),
        artifacts=none,
        pool=cast(WorkerPool, _Pool()),
        executor=none,
        logs=settings.work,
        seal=unsigned,
        execution=cast(Callable[..., Execution], partial(Played, world=world)),
    )
    runner = compose_runner(settings, parts)
    world.witness.works(world.incarnation, runner)
    transport.start(world.incarnation, runner.receive)
    await runner.keep_alive()
