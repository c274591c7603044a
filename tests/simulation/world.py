"""Puts a plan to work: coordinators, runners and clients over one broker and one store, until everything is over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kaon_coordinator import expressions, params
from kaon_coordinator.access.bounds import TenantBounds
from kaon_coordinator.access.grants import Grants
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.matching.tenants import NO_LIMITS
from kaon_coordinator.previous_success import previous_success
from kaon_coordinator.schedules.scheduler import Scheduler as SchedulesRunner
from kaon_coordinator.schedules.scheduler import SchedulerParts
from kaon_coordinator.shell.coordinator import Coordinator
from kaon_coordinator.shell.lease_proofs import LeaseProofs
from kaon_coordinator.shell.shell_settings import Clocks, ShellSettings
from kaon_coordinator.store.base import NewRun
from kaon_coordinator.transport.base import Send
from kaon_runner.settings import Settings
from kaon_wire import canonical, topics
from kaon_wire.errors import Conflict, KaonError
from kaon_wire.lease_tokens import LeaseKeys
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import history_pb2
from kaonapi.runner.v1 import runner_pb2

from . import extensions, forger, poison, runners
from .artifact_io import SimArtifactIO
from .broker import Broker, Group, RunnerTransport, SimTransport, Trouble
from .checks import CheckedStore, Checks, Violation
from .clients import Client
from .loop import EPOCH_US, Deadlock, Process, Scheduler
from .plan import Fault, Plan, catalogue
from .storage import SimStoreThread, StoreTrouble
from .workflows import TAGS, TENANT


class _Silent:
    """Nobody looks."""

    def committed(self, events: Sequence[history_pb2.HistoryEvent]) -> None: ...

    def notified(self) -> None: ...

    def progress(self, reports: object) -> None: ...

    async def logs(self, lines: object) -> None: ...


@dataclass(kw_only=True)
class Member:
    """One coordinator: what lives of it now."""

    index: int
    lives: int = 0
    process: Process | None = None
    transport: SimTransport | None = None
    coordinator: Coordinator | None = None
    store: SimStoreThread | None = None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.alive


@dataclass(kw_only=True)
class Worker:
    """One runner: what lives of it now."""

    index: int
    lives: int = 0
    process: Process | None = None


class World:
    """One simulated system.

    Args:
        plan: what happens.
        trace: is told what happens, in words; None: nobody listens.
        story: every committed event is told too.
    """

    def __init__(
        self, plan: Plan, trace: Callable[[str], None] | None = None, *, story: bool = False
    ) -> None:
        self.plan = plan
        self._trace = trace
        self.scheduler = Scheduler(self.draws("order"))
        runners.play(self.scheduler)
        extensions.shorten_chains()
        self.catalogue = catalogue(plan)
        self.trouble = Trouble(
            doubled=plan.noise.doubled, refused=plan.noise.refused, slow=plan.noise.slow
        )
        self.store_trouble = StoreTrouble(
            refused=plan.noise.store_refused, slow=plan.noise.store_slow
        )
        self.broker = Broker(self.scheduler, self.catalogue, self.trouble, self.draws("network"))
        self.extensions = extensions.LossyExtensions(self.broker, self.draws("extensions"))
        self.group = Group(self.broker, plan.session_seconds)
        keys = LeaseKeys((bytes(32),))
        self.proofs = LeaseProofs(lambda: keys)
        self.forger = forger.Forger(self.broker, self.draws("forger"))
        self.poison = poison.Poison()
        self.store = CheckedStore(self.poison)
        self.checks = Checks(
            self.store,
            self.broker,
            now=lambda: self.scheduler.now,
            lease_seconds=plan.lease_seconds,
            chance=self.draws("samples"),
            tell=self.tell if story else None,
        )
        self.limits = Limits(
            cells_per_turn=2,
            exclusive_wait_us=round((2 * plan.lease_seconds + 2) * 1e6),
            inline_input_bytes=200,
            # Mostly so few that even small foreaches meet it.
            waiting_steps=self.draws("waiting").choice((1, 2, 3, 5, 1_000)),
        )
        self.members = [Member(index=index) for index in range(plan.coordinators)]
        self.workers = [Worker(index=index) for index in range(plan.runners)]
        self.behaviour = runners.Behaviour()
        self._ids = self.draws("ids")
        self._steps = self.draws("steps")
        self._store_draws = self.draws("store")
        self._artifact_draws = self.draws("artifacts")
        self._schedules = any(wish.kind == "schedule" for wish in plan.wishes)
        self._skews = self.draws("skews")
        self.calm = False
        self.over = False

    def draws(self, what: str) -> random.Random:
        """A stream of random numbers of its own, so that one part of a plan can change without the others."""
        return random.Random(f"{self.plan.seed} {what}")

    def tell(self, text: str) -> None:
        """Notes what happens."""
        if self._trace is not None:
            self._trace(f"{self.scheduler.now:9.3f}  {text}")

    # --- a run --------------------------------------------------------------------------------------------------

    def run(self) -> Violation | None:
        """Runs the plan; returns the first violation."""
        plan = self.plan
        self.prepare()
        for fault in plan.faults:
            self.scheduler.at(fault.at, self.break_something, fault)
        self.scheduler.at(plan.calm, self.calm_down)
        self.finish(plan.calm + plan.patience)
        return self.checks.violation

    def prepare(self) -> None:
        """Workflows are there, processes start, clients begin."""
        poison.apply(self.poison)
        versions = []
        for definition in self.plan.definitions:
            version = canonical.digest_message(definition)
            self.store.put_workflow(TENANT, definition, version, EPOCH_US)
            versions.append((definition.name, version))
        for tag in TAGS:
            self.store.set_permits(TENANT, f"tag:{tag}", 1)
        for member in self.members:
            self.start_member(member)
        for worker in self.workers:
            self.start_worker(worker)
        self.client = Client(self, versions)
        self.client.begin()

    def finish(self, until: float) -> None:
        """Lets the world go on until everything is over, or time is up; then looks at what is left."""
        try:
            self.scheduler.run(until, self.is_over)
        except Deadlock as error:
            self.checks.fail("progress", str(error))
        self.checks.at_the_end()
        self.over = True
        for process in self.processes():
            process.kill()

    def is_over(self) -> bool:
        """Whether nothing is left to wait for."""
        if self.checks.violation is not None:
            return True
        return (
            self.calm
            and self.client.settled
            and self.checks.schedules_over
            and not self.checks.unended
            and self.checks.all_published
            and self.all_read()
        )

    def all_read(self) -> bool:
        """I6: what was written before the faults ended has been applied and acknowledged."""
        return all(self.group.committed.get(key, 0) >= end for key, end in self._ends.items())

    def processes(self) -> list[Process]:
        """All that live."""
        found = [each.process for each in (*self.members, *self.workers)]
        return [
            process
            for process in (*found, self.client.process)
            if process is not None and process.alive
        ]

    # --- processes ----------------------------------------------------------------------------------------------

    def start_member(self, member: Member) -> None:
        """A coordinator starts."""
        if member.alive or self.over:
            return
        member.lives += 1
        name = f"coordinator-{member.index}.{member.lives}"
        process = member.process = self._process(name)
        process.on_death.append(lambda: self._later(self.start_member, member))
        process.call_soon(self._open_member, member, process)
        self.tell(f"{name} starts")

    def _open_member(self, member: Member, process: Process) -> None:
        member.store = SimStoreThread(process, self.store, self.store_trouble, self._store_draws)
        member.transport = SimTransport(process, self.group, silence=2.0)
        member.coordinator = Coordinator(
            settings=self._shell_settings(process.name),
            store=member.store,  # type: ignore[arg-type]
            transport=member.transport,
            meter=expressions.Meter,
            sinks=_Silent(),
            clocks=Clocks(now_us=process.now_us, monotonic=process.monotonic),
            artifact_io=SimArtifactIO(self.store_trouble, self._artifact_draws),  # type: ignore[arg-type]
        )
        process.create_task(self._serve(member, process))

    def _shell_settings(self, owner: str) -> ShellSettings:
        plan = self.plan
        return ShellSettings(
            owner=owner,
            catalogue=self.catalogue,
            limits=self.limits,
            lease_seconds=plan.lease_seconds,
            proofs=self.proofs,
            tick_seconds=plan.tick_seconds,
            new_run_id=lambda now_us: self.new_run_id(),
            random=self._steps.random,
        )

    async def _serve(self, member: Member, process: Process) -> None:
        """As `bootstrap.Application` does: whatever ends one part ends the process."""
        assert member.coordinator is not None
        assert member.transport is not None
        await member.transport.start(member.coordinator)
        parts = [
            asyncio.ensure_future(member.coordinator.run()),
            asyncio.ensure_future(member.transport.failed()),
            asyncio.ensure_future(self._scheduler_of(member, process).run()),
        ]
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            error = part.exception()
            if error is not None:
                self._ends_by(process, error)

    def _scheduler_of(self, member: Member, process: Process) -> SchedulesRunner:
        coordinator = member.coordinator
        assert coordinator is not None

        parts = SchedulerParts(
            store=member.store,  # type: ignore[arg-type]
            epochs=coordinator.epochs,
            wake=coordinator.wake_owner,
            records=None,
            partitions=self.catalogue.run_partitions,
            bounds=TenantBounds(member.store, NO_LIMITS),  # type: ignore[arg-type]
            grants=Grants(member.store),  # type: ignore[arg-type]
            now_us=process.now_us,
            new_run_id=lambda now_us: self.new_run_id(),
            # Between two looks nothing happens; they are what an idle world costs.
            every_seconds=1.0 if self._schedules else 3600.0,
        )
        return SchedulesRunner(parts)

    def _ends_by(self, process: Process, error: BaseException) -> None:
        if isinstance(error, Conflict) or not isinstance(error, KaonError):
            self.checks.fail(
                "no defect", f"{process.name} ended by {type(error).__name__}: {error}"
            )
        self.tell(f"{process.name} ends: {error}")
        process.fuse = 0

    def start_worker(self, worker: Worker) -> None:
        """A runner starts."""
        if (worker.process is not None and worker.process.alive) or self.over:
            return
        worker.lives += 1
        incarnation = f"runner-{worker.index}.{worker.lives}"
        process = worker.process = self._process(incarnation)
        process.on_death.append(lambda: self._later(self.start_worker, worker))
        settings = Settings(
            runner_id=f"runner-{worker.index}",
            slots=self.plan.slots,
            queue=8,
            renew_seconds=1.0,
            exclusive_seconds=self.plan.lease_seconds + 2.0,
        )
        played = runners.World(
            process=process,
            incarnation=incarnation,
            behaviour=self.behaviour,
            random=self._steps,
            witness=self.checks,
        )
        process.begin(
            runners.work(settings, RunnerTransport(process, self.broker, settings.pool), played)
        )
        self.tell(f"{incarnation} starts")

    def _process(self, name: str) -> Process:
        skew = self._skews.uniform(-1, 1) * self.plan.skew
        rate = self._skews.uniform(0.995, 1.005)
        return Process(self.scheduler, name, skew=skew, rate=rate, failed=self._failed)

    def _failed(self, process: Process, error: BaseException) -> None:
        self.checks.fail("no defect", f"{process.name}: {type(error).__name__}: {error}")

    def _later(self, start: Callable[[Any], None], who: Any) -> None:
        """What has died is started again by its supervisor."""
        self.scheduler.after(self._skews.uniform(0.2, 3.0), start, who)

    # --- faults -------------------------------------------------------------------------------------------------

    def break_something(self, fault: Fault) -> None:
        """Lets a fault happen."""
        self.tell(f"fault: {fault.kind} {fault.target} for {fault.seconds:.1f} s")
        _FAULTS[fault.kind](self, fault)

    def _kill_member(self, fault: Fault) -> None:
        self._kill(self.members[fault.target % len(self.members)].process, fault)

    def _kill_worker(self, fault: Fault) -> None:
        self._kill(self.workers[fault.target % len(self.workers)].process, fault)

    def _kill(self, process: Process | None, fault: Fault) -> None:
        if process is None or not process.alive:
            return
        if fault.fuse == 0:
            process.kill()
        else:
            process.fuse = fault.fuse

    def _pause_member(self, fault: Fault) -> None:
        member = self.members[fault.target % len(self.members)]
        if (
            not member.alive
            or member.transport is None
            or member.process is None
            or member.process.paused
        ):
            return
        member.process.pause()
        member.transport.fall_silent()
        self.scheduler.after(fault.seconds, self._continue, member.process, member.transport)

    def _continue(self, process: Process, transport: SimTransport | None) -> None:
        if process.paused and process.alive:
            self.tell(f"{process.name} goes on")
            process.resume()
            if transport is not None:
                transport.speak_again()

    def _pause_worker(self, fault: Fault) -> None:
        process = self.workers[fault.target % len(self.workers)].process
        if process is not None and process.alive and not process.paused:
            process.pause()
            self.scheduler.after(fault.seconds, self._continue, process, None)

    def _leave_member(self, fault: Fault) -> None:
        """A coordinator ends in order, as for an upgrade, and starts again."""
        member = self.members[fault.target % len(self.members)]
        if member.alive and member.transport is not None and member.process is not None:
            member.process.begin(self._leave(member.process, member.transport))

    async def _leave(self, process: Process, transport: SimTransport) -> None:
        await transport.stop()
        process.fuse = 0

    def _broker_away(self, fault: Fault) -> None:
        self.trouble.away_until = max(self.trouble.away_until, self.scheduler.now + fault.seconds)

    def _store_away(self, fault: Fault) -> None:
        self.store_trouble.away_until = self.scheduler.now + min(fault.seconds, 4.0)

    def _slow_partition(self, fault: Fault) -> None:
        """Records of one partition of one topic arrive much later than those of others."""
        keys = [
            (topic, number)
            for topic in (
                topics.STEP_EVENTS,
                topics.RUN_COMMANDS,
                topics.STEP_REQUESTS,
                topics.RUNNER_HEARTBEATS,
            )
            for number in range(self.broker.counts[topic])
        ]
        self.broker.blocked[keys[fault.target % len(keys)]] = self.scheduler.now + fault.seconds

    def _rebalance(self, fault: Fault) -> None:
        self.group.rebalance()

    def _clock(self, fault: Fault) -> None:
        """Somebody's wall clock jumps."""
        process = self.members[fault.target % len(self.members)].process
        if process is not None:
            process.skew += (fault.seconds if fault.fuse % 2 else -fault.seconds) / 5

    def _garbage(self, fault: Fault) -> None:
        """Bytes that are no message."""
        topic = (topics.STEP_EVENTS, topics.RUN_COMMANDS, topics.STEP_REQUESTS)[fault.target % 3]
        value = b"\xff\xff" + str(self.scheduler.steps).encode()
        self.checks.garbage.append((topic, value))
        self.broker.append("nobody", [Send(topic=topic, partition=0, value=value)])

    def _forge(self, fault: Fault) -> None:
        """A stolen runner lies about the steps of others."""
        self.forger.until = self.scheduler.now + fault.seconds

    def _engine_fault(self, fault: Fault) -> None:
        """Something that nobody has foreseen is raised for one run."""
        running = sorted(run_id for run_id, kept in self.store.runs.items() if not kept.ended)
        if running:
            self.poison.arm(running[fault.target % len(running)], poison.PLACES[fault.fuse])

    def _drain_worker(self, fault: Fault) -> None:
        """Somebody tells a runner to take nothing more; it is replaced later."""
        process = self.workers[fault.target % len(self.workers)].process
        if process is None or not process.alive:
            return
        record = runner_pb2.RunnerCommands(incarnation=process.name)
        record.commands.add().drain.grace_ms = 0
        partition = partition_of(process.name, self.catalogue.runner_partitions)
        self.broker.append(
            "nobody",
            [
                Send(
                    topic=topics.RUNNER_COMMANDS,
                    partition=partition,
                    value=record.SerializeToString(),
                )
            ],
        )
        self.scheduler.after(max(fault.seconds, 2.0), process.kill)

    def calm_down(self) -> None:
        """The faults end: from now on everything must come to its end."""
        self.tell("the faults end")
        self.calm = True
        self.trouble.doubled = self.trouble.refused = self.trouble.slow = 0.0
        self.store_trouble.refused = self.store_trouble.slow = 0.0
        self.poison.clear()
        now = self.scheduler.now
        self.trouble.away_until = min(self.trouble.away_until, now)
        self.store_trouble.away_until = min(self.store_trouble.away_until, now)
        self.broker.blocked.clear()
        for member in self.members:
            if member.process is not None:
                self._continue(member.process, member.transport)
        for worker in self.workers:
            if worker.process is not None:
                self._continue(worker.process, None)
        self.client.process.begin(self.client.go_on())
        self._ends = {
            key: len(log)
            for key, log in self.broker.logs.items()
            if key[0] in _READ_BY_COORDINATORS
        }

    # --- what clients need --------------------------------------------------------------------------------------

    def new_run_id(self) -> str:
        """A fresh id."""
        return f"{self._ids.getrandbits(40):010x}"

    def new_run(self, name: str, version: str, key: str, submitter: str, now_us: int) -> NewRun:
        """A run as the API makes one."""
        run_id = self.new_run_id()
        definition = next(each for each in self.plan.definitions if each.name == name)
        previous = previous_success(self.store, self.store.get_workflow(TENANT, name, version))
        return NewRun(
            run_id=run_id,
            tenant=TENANT,
            workflow=name,
            version=version,
            partition=partition_of(run_id, self.catalogue.run_partitions),
            params=params.complete(definition, {}),
            submitter=submitter,
            idempotency_key=key,
            now_us=now_us,
            previous=previous,
        )


_READ_BY_COORDINATORS = frozenset(
    {topics.STEP_EVENTS, topics.RUN_COMMANDS, topics.STEP_REQUESTS, topics.RUNNER_HEARTBEATS}
)
_FAULTS: dict[str, Callable[[World, Fault], None]] = {
    "kill-coordinator": World._kill_member,
    "pause-coordinator": World._pause_member,
    "leave-coordinator": World._leave_member,
    "kill-runner": World._kill_worker,
    "pause-runner": World._pause_worker,
    "broker-away": World._broker_away,
    "store-away": World._store_away,
    "slow-partition": World._slow_partition,
    "rebalance": World._rebalance,
    "clock": World._clock,
    "garbage": World._garbage,
    "drain-runner": World._drain_worker,
    "engine-fault": World._engine_fault,
    "forge": World._forge,
}
