"""Runners: the real `kaon_runner.runner.Runner` with its leases, slots, outbox and heartbeats; only executions are played."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import kaon_runner.heartbeats
import kaon_runner.reports
import kaon_runner.runner
from kaon_runner import reports
from kaon_runner.execution import Stop
from kaon_runner.heartbeats import Heartbeats, RecentDuration
from kaon_runner.leases import Lease, LeaseTable
from kaon_runner.outbox import Outbox
from kaon_runner.runner import Runner
from kaon_runner.slots import Amount, Claim, Slots
from kaon_wire import canonical
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .broker import RunnerTransport
from .loop import Process, Scheduler

POOL = "default"


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

    def __init__(self, lease: Lease, around: Surroundings, *, claim: Claim | None, behind: object) -> None:
        self.lease = lease
        self.claim = claim
        self.started = False
        self._around = around
        self._begun = 0.0
        self._stop: Stop | None = None
        self._announced = False
        self._heard = around.process.monotonic()
        self._granted: asyncio.Future[bool] | None = None
        self._ended: asyncio.Event = asyncio.Event()

    @property
    def seconds(self) -> float:
        return self._around.process.monotonic() - self._begun if self.started else 0.0

    async def run(self) -> None:
        around, spec = self._around, self.lease.request.spec
        await asyncio.sleep(around.random.random() * 0.02)
        if spec.exclusive and self._stop is None:
            self._granted = asyncio.get_running_loop().create_future()
            self._heard = around.process.monotonic()
            self._announce()
            await self._granted
        if self._stop is None:
            await self._execute()
        self._report()

    async def _execute(self) -> None:
        around, spec = self._around, self.lease.request.spec
        self.started = True
        self._begun = around.process.monotonic()
        self._announce()
        around.witness.began(self, self._lifetime)
        seconds = around.random.random() ** 2 * around.behaviour.longest
        limit = spec.timeout_ms / 1000 or float("inf")
        try:
            await asyncio.wait_for(self._ended.wait(), min(seconds, limit))
        except TimeoutError:
            if seconds > limit:
                self.stop(Stop.TIMEOUT)
        around.witness.ended(self)

    def _announce(self) -> None:
        if not self._announced:
            self._announced = True
            self._around.report(self.lease, reports.event(self.lease.key, started=step_pb2.StepStarted()))

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
        self._around.report(self.lease, event)

    def _result(self) -> step_pb2.StepEvent:
        around, key = self._around, self.lease.key
        draw = around.random.random()
        if draw < around.behaviour.fails:
            return reports.event(key, failed=reports.failed(reports.USER, "ValueError", "no"))
        if draw < around.behaviour.fails + around.behaviour.breaks:
            return reports.event(key, failed=reports.failed(reports.PLATFORM, "Disk", "full"))
        if draw < 0.5:
            metric = step_pb2.StepMetric(name="loss", value=round(draw, 3))
            around.report(self.lease, reports.event(key, metric=metric))
        outputs = {name: self._value(kind) for name, kind in sorted(self.lease.request.spec.outputs.items())}
        return reports.event(key, succeeded=step_pb2.StepSucceeded(outputs_json=outputs))

    def _value(self, kind: int) -> str:
        if kind == d.VALUE_TYPE_BOOL:
            return canonical.dumps(self._around.random.random() < 0.5)
        if kind == d.VALUE_TYPE_LIST:
            return canonical.dumps(list(range(int(self._around.random.random() * 4))))
        # Says whose result it is.
        return canonical.dumps(self._around.incarnation)

    def stop(self, why: Stop) -> None:
        self._around.witness.stopped(self, why)
        if self._stop is None or why is Stop.STALE:
            self._stop = why
        if self._granted is not None and not self._granted.done():
            self._granted.set_result(False)
        self._ended.set()

    def killed(self) -> None:
        """Its supervisor has ended it: no renewal had arrived for too long."""
        self._around.process.call_soon(self.stop, Stop.STALE)

    def grant(self) -> None:
        if self._granted is not None and not self._granted.done() and self._lifetime > 0:
            self._granted.set_result(True)

    def signal(self, signal: object) -> None:
        """A signal makes it end sooner."""
        self._ended.set()

    def withdraw(self) -> None:
        if not self._announced and self._stop is None:
            self._stop = Stop.WITHDRAWN

    def renew(self, *, ago: float) -> None:
        self._heard = max(self._heard, self._around.process.monotonic() - ago)
        if self.started:
            self._around.witness.renewed(self, self._lifetime)

    def tick(self) -> None:
        """There is no output to look at."""

    @property
    def _lifetime(self) -> float:
        if not self.lease.request.spec.exclusive:
            return float("inf")
        return max(0.0, self._heard + self._around.exclusive_seconds - self._around.process.monotonic())


class Witness:
    """Sees what really runs. The invariants' side of a runner; see `checks`."""

    def began(self, execution: Played, lifetime: float) -> None: ...

    def renewed(self, execution: Played, lifetime: float) -> None: ...

    def ended(self, execution: Played) -> None: ...

    def stopped(self, execution: Played, why: Stop) -> None: ...


class _Pool:
    """There are no warm workers."""

    def look(self) -> None: ...

    def room_behind(self, lane: object, wanted: object) -> None: ...

    def renew_idle(self, seconds: float) -> None: ...


@dataclass(kw_only=True)
class Surroundings:
    """What the executions of one incarnation share."""

    process: Process
    incarnation: str
    behaviour: Behaviour
    random: random.Random
    witness: Witness
    exclusive_seconds: float
    report: Callable[[Lease, step_pb2.StepEvent], None]
    pool: _Pool
    preparer: Any
    step_types: Any
    settings: Any


_clock = Clock()
# What `play` replaces.
REPLACED = (
    (kaon_runner.heartbeats, "time"),
    (kaon_runner.reports, "time"),
    (kaon_runner.runner, "Execution"),
    (kaon_runner.runner, "_TICK_SECONDS"),
)


def play(scheduler: Scheduler) -> None:
    """Puts the played execution and the simulated clock in place of the real ones, in this process."""
    _clock.scheduler = scheduler
    for (module, name), stand_in in zip(REPLACED, (_clock, _clock, Played, 60.0), strict=True):
        setattr(module, name, stand_in)


@dataclass(frozen=True, kw_only=True)
class RunnerSettings:
    """What a runner is and has."""

    runner_id: str
    slots: int
    renew_seconds: float
    exclusive_seconds: float
    queue: int = 8


async def work(
    settings: RunnerSettings,
    incarnation: str,
    transport: RunnerTransport,
    behaviour: Behaviour,
    chance: random.Random,
    witness: Witness,
    process: Process,
) -> None:
    """One incarnation, until its process dies."""
    leases, slots, recent = (
        LeaseTable(),
        Slots(Amount(slots=settings.slots, cpu_milli=1000)),
        RecentDuration(),
    )
    outbox = Outbox(
        transport,
        runner_id=settings.runner_id,
        incarnation=incarnation,
        company=lambda: len(leases) - 1 if recent.short else 0,
    )

    def around(runner: Runner) -> Any:
        return Surroundings(
            process=process,
            incarnation=incarnation,
            behaviour=behaviour,
            random=chance,
            witness=witness,
            exclusive_seconds=settings.exclusive_seconds,
            report=runner.report,
            pool=_Pool(),
            preparer=SimpleNamespace(is_quick=lambda spec: False, stop=lambda: None),
            step_types={"python"},
            settings=SimpleNamespace(step_disk_bytes=0),
        )

    heartbeats = Heartbeats(
        pool=POOL,
        runner_id=settings.runner_id,
        incarnation=incarnation,
        capacity=slots.capacity,
        labels={"step-type.python": "yes"},
        leases=leases,
        recent=recent,
        warm_bundles=list,
    )
    runner = Runner(
        around=around,
        outbox=outbox,
        heartbeats=heartbeats,
        leases=leases,
        slots=slots,
        recent=recent,
        queue_limit=settings.queue,
        renew_seconds=settings.renew_seconds,
        supervisor_seconds=60.0,
    )
    transport.start(incarnation, runner.receive)
    await runner.keep_alive()
