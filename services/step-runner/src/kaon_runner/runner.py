"""The runner: receives releases and commands, runs executions, sends events. All of it on one event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import structlog
from google.protobuf.message import Message

from kaon_runner.disk.space import used_bytes
from kaon_runner.execution.execution import Execution
from kaon_runner.execution.in_worker import lane_of
from kaon_runner.execution.surroundings import Stop, Surroundings
from kaon_runner.leases.chain import Chain
from kaon_runner.leases.slots import Amount, Claim, Slots
from kaon_runner.leases.table import Lease, LeaseTable, Phase, StepId, Verdict, step_id
from kaon_runner.outbox import reports
from kaon_runner.outbox.heartbeats import Heartbeats, RecentDuration
from kaon_runner.outbox.outbox import Outbox
from kaon_runner.workers.process import Requeued, WarmWorker
from kaon_service.command_signatures import EVERYONE
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

log = structlog.get_logger(__name__)
# While steps run: interval of checks of output and long steps.
_TICK_SECONDS = 0.05
# Interval of measuring disk usage of steps that have a bound.
_MEASURE_SECONDS = 0.5
# Nothing follows a step by succession whose lease was not renewed for so many periods.
_SURE_RENEWALS = 4
_LONG_AGO = 1e9
_FINAL = frozenset({"succeeded", "failed", "stopped", "handed_back"})


class Runner:
    """One incarnation of a runner.

    Args:
        around: The dependencies that executions share; its `report` must be this runner's `report`.
        execution: Creates the execution of a lease, with the arguments of `Execution`.
        outbox: Sends events.
        heartbeats: Composes heartbeats.
        leases: The leases of this incarnation.
        slots: Its occupied amounts.
        recent: The durations of its recent steps.
        queue_limit: The number of releases that may wait beyond the running ones.
    """

    def __init__(
        self,
        *,
        around: Callable[[Runner], Surroundings],
        execution: Callable[..., Execution],
        outbox: Outbox,
        heartbeats: Heartbeats,
        leases: LeaseTable,
        slots: Slots,
        recent: RecentDuration,
        queue_limit: int,
        renew_seconds: float,
        supervisor_seconds: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._outbox = outbox
        self._heartbeats = heartbeats
        self._leases = leases
        self._slots = slots
        self._recent = recent
        self._queue_limit = queue_limit
        self._renew_seconds = renew_seconds
        self._supervisor_seconds = supervisor_seconds
        self._queue: deque[Lease] = deque()
        self._executions: dict[StepId, Execution] = {}
        # Superseded executions that are still ending, and must report nothing.
        self._orphans: set[Execution] = set()
        self._tasks: dict[Execution, asyncio.Task[None]] = {}
        self._draining = False
        # When the last acknowledged renewal was sent, by partition.
        self._renewed_at: dict[int, float] = {}
        self._ticking = False
        # When the disk was last measured, and the running measurement.
        self._measured_at = 0.0
        self._measuring: asyncio.Task[None] | None = None
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.hello = asyncio.Event()
        self._around = around(self)
        self._execution = execution

    # --- incoming records
    # ---------------------------------------------------------------------------------------------

    def receive(self, messages: Sequence[Message]) -> None:
        """Handle records from the transport, in order."""
        own = self._heartbeats.incarnation
        for message in messages:
            if isinstance(message, step_pb2.StepReleases) and message.incarnation == own:
                for request in message.releases:
                    self._release(request)
                for extension in message.extensions:
                    self._extend_chain(extension)
            elif isinstance(message, runner_pb2.RunnerCommands) and self._is_meant(message):
                for command in message.commands:
                    self._obey(command)
        self._admit()

    def _is_meant(self, commands: runner_pb2.RunnerCommands) -> bool:
        beats = self._heartbeats
        if commands.incarnation == EVERYONE:
            return commands.pool in {"", beats.pool}
        return commands.incarnation == beats.incarnation

    def _release(self, request: step_pb2.StepRequest) -> None:
        verdict, superseded = self._leases.offer(request)
        if verdict is Verdict.STALE_EPOCH:
            self._hand_back(request, "issued by an owner of the partition that has been succeeded")
        if verdict is Verdict.OVER:
            self._hand_back(request, "it has ended here, and its end seems to be lost")
        if verdict is not Verdict.ACCEPTED:
            return
        if superseded is not None:
            self._abandon(superseded)
        lease = self._leases.find(request.key)
        assert lease is not None
        refusal = self._refusal(lease)
        if refusal:
            self._hand_back(request, refusal)
            self._leases.end(request.key)
            return
        self._queue.append(lease)

    def _refusal(self, lease: Lease) -> str:
        """Return why the release is not taken; empty when it is."""
        if self._draining:
            return "the runner is draining"
        kind, capacity = lease.request.spec.type, self._slots.capacity
        if kind not in self._around.step_types:
            return f"the runner has no step type {kind!r}"
        if not lease.wanted.within(capacity):
            return f"the step asks for {lease.wanted.excess(capacity)} that the runner has"
        if len(self._queue) >= self._queue_limit:
            return f"the runner's queue of {self._queue_limit} is full"
        return ""

    def _obey(self, command: runner_pb2.RunnerCommand) -> None:
        match command.WhichOneof("command"):
            case "revoke":
                self._revoke(command.revoke)
            case "withdraw":
                self._withdraw(command.withdraw)
            case "drain":
                self._start_draining()
                self._loop.call_later(command.drain.grace_ms / 1000, self._hand_back_running)
            case "report":
                self.beat()
            case "signal":
                self._signal(command.signal)
            case "grant":
                self._grant(command.grant)
            case "end_succession":
                self._end_chain(command.end_succession.key)

    def _revoke(self, revoke: runner_pb2.RevokeStep) -> None:
        if not self._leases.note_epoch(revoke.partition, revoke.epoch):
            return
        stale = revoke.reason == runner_pb2.REVOKE_REASON_STALE_LEASE
        lease = self._leases.find(revoke.key)
        if lease is not None and lease.partition != revoke.partition:
            return  # not from the owner of its run
        if revoke.unproven and (lease is None or lease.key.lease_token != revoke.key.lease_token):
            return  # the answer to a report that this runner has not made
        execution = self._executions.get(step_id(revoke.key))
        if lease is not None and execution is not None and execution.lease is lease:
            execution.stop(Stop.STALE if stale else Stop.REVOKED)
            return
        if lease is not None:
            self._queue.remove(lease)
        self._leases.end(revoke.key)
        if not stale:
            # Queued, unknown or ended: no process of it is left in any case, and the engine waits for the
            # report.
            self._outbox.event(
                revoke.partition,
                reports.event(revoke.key, stopped=step_pb2.StepStopped()),
                urgent=True,
            )

    def _signal(self, signal: runner_pb2.SignalStep) -> None:
        lease = self._lease_of(signal)
        if lease is None or signal.signal_seq in lease.signals:
            return
        lease.signals[signal.signal_seq] = signal
        execution = self._executions.get(step_id(lease.key))
        if execution is not None:
            execution.signal(signal)

    def _grant(self, grant: runner_pb2.GrantStep) -> None:
        lease = self._lease_of(grant)
        execution = self._executions.get(step_id(lease.key)) if lease is not None else None
        if execution is not None:
            execution.grant()

    def _extend_chain(self, extension: step_pb2.ChainExtension) -> None:
        """Let a chain go on before it ends; an extension that is late, or of a succeeded owner, changes nothing."""
        if self._draining or not extension.successors:
            return
        owner = extension.successors[0].request
        if self._leases.note_epoch(owner.partition, owner.epoch):
            self._leases.extend(extension)

    def _end_chain(self, key: step_pb2.StepKey) -> None:
        for lease in self._leases.leases():
            if lease.chain is not None and lease.chain.includes(key):
                lease.chain.ended = True

    def _lease_of(self, order: runner_pb2.SignalStep | runner_pb2.GrantStep) -> Lease | None:
        """Return the lease that a partition's owner names; None when it is unknown here, or the owner has been succeeded."""
        if not self._leases.note_epoch(order.partition, order.epoch):
            return None
        lease = self._leases.find(order.key)
        return lease if lease is not None and lease.partition == order.partition else None

    def _withdraw(self, withdraw: runner_pb2.WithdrawStep) -> None:
        lease = self._leases.find(withdraw.key)
        if lease is None or lease.phase is not Phase.QUEUED:
            return  # started meanwhile: the first to start holds it
        execution = self._executions.get(step_id(lease.key))
        if execution is not None:
            execution.withdraw()  # it waits in a worker behind another step
            return
        self._queue.remove(lease)
        self._hand_back(lease.request, "withdrawn")
        self._leases.end(lease.key)

    def _hand_back(self, request: step_pb2.StepRequest, reason: str) -> None:
        event = reports.event(request.key, handed_back=step_pb2.StepHandedBack(reason=reason))
        self._outbox.event(request.partition, event, urgent=True)

    def _abandon(self, lease: Lease) -> None:
        """Stop an execution whose lease was superseded by another generation and removed from the table."""
        execution = self._executions.get(step_id(lease.key))
        if execution is not None and execution.lease is lease:
            del self._executions[step_id(lease.key)]
            self._orphans.add(execution)
            execution.stop(Stop.STALE)
        elif lease in self._queue:
            self._queue.remove(lease)

    # --- executions ---------------------------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Start the steps that fit, in order of release."""
        while self._queue:
            lease = self._queue[0]
            claim, behind = self._slots.take(lease.wanted), None
            if claim is None:
                behind = self._room_behind(lease)
                if behind is None:
                    return
            self._queue.popleft()
            self._execute(lease, claim, behind)

    def _room_behind(self, lease: Lease) -> WarmWorker | None:
        spec = lease.request.spec
        if spec.exclusive or not self._around.preparer.is_quick(spec):
            return None
        return self._around.pool.room_behind(lane_of(lease.request), lease.wanted)

    def _execute(self, lease: Lease, claim: Claim | None, behind: WarmWorker | None) -> None:
        execution = self._execution(lease, self._around, claim=claim, behind=behind)
        self._executions[lease.step] = execution
        if claim is not None and lease.phase is not Phase.FOLLOWING:
            self._leases.hold(lease)
        self._tasks[execution] = self._loop.create_task(self._run(execution))
        self._quiet.clear()
        self._tick_soon()

    async def _run(self, execution: Execution) -> None:
        requeued = False
        try:
            await execution.run()
        except Requeued:
            requeued = True
        except Exception:
            log.exception("execution failed to report", **execution.lease.fields)
        if execution.claim is not None:
            self._slots.give_back(execution.claim)
        if execution.started and not requeued:
            self._recent.add(execution.seconds)
        del self._tasks[execution]
        self._settle(execution, requeued=requeued)
        self._admit()

    def _settle(self, execution: Execution, *, requeued: bool) -> None:
        lease = execution.lease
        if execution in self._orphans:
            self._orphans.discard(execution)
        else:
            del self._executions[lease.step]
            if requeued:
                lease.phase = Phase.QUEUED
                self._queue.appendleft(lease)
            else:
                self._leases.finish(lease)
        if not self._executions and not self._orphans and not self._queue:
            self._quiet.set()

    def report(self, lease: Lease, event: step_pb2.StepEvent) -> None:
        """Send an event of a lease, unless the lease is no longer held."""
        if not self._leases.holds(lease):
            return
        kind = event.WhichOneof("event")
        if kind == "started" and lease.phase is Phase.FOLLOWING:
            heard = partial(self._acknowledged, lease)
            self._outbox.event(lease.partition, event, urgent=True, acknowledged=heard)
            return
        if kind == "started":
            self._leases.hold(lease)
        self._outbox.event(lease.partition, event, urgent=kind in _FINAL)
        if kind == "serves":
            lease.serves = event
        if kind == "succeeded" and lease.chain is not None:
            self._succeed(lease, lease.chain, event.succeeded)

    # --- succession ---------------------------------------------------------------------------------------------------

    def _succeed(self, lease: Lease, chain: Chain, succeeded: step_pb2.StepSucceeded) -> None:
        """Take the next step of a chain, if nothing speaks against it; report its start with the success just reported."""
        execution = self._executions.get(lease.step)
        if execution is None or execution.lease is not lease or not self._may_go_on(execution):
            return
        request = chain.after(lease.request.spec, succeeded)
        if request is None or request.spec.type not in self._around.step_types:
            return
        following = self._leases.follow(request, chain)
        if following is None:
            return
        claim, behind = self._inherit(execution, following.wanted), None
        if claim is None:
            behind = self._room_behind(following)
        if claim is None and behind is None:
            self._leases.forget(following)
            return
        self._execute(following, claim, behind)
        start = reports.event(following.key, started=step_pb2.StepStarted())
        self._around.report(following, start)

    def _may_go_on(self, execution: Execution) -> bool:
        """Tell whether another step may follow an execution here: its lease is sure, and no one else waits for its place."""
        lease = execution.lease
        if self._draining or execution.stopping:
            return False
        heard = self._loop.time() - self._renewed_at.get(lease.partition, -_LONG_AGO)
        if min(heard, execution.seconds) > _SURE_RENEWALS * self._renew_seconds:
            return False
        tenant, priority = lease.request.spec.tenant, lease.request.priority
        return all(
            other.request.spec.tenant == tenant and other.request.priority <= priority
            for other in self._leases.leases()
            if other.phase is Phase.QUEUED
        )

    def _inherit(self, execution: Execution, wanted: Amount) -> Claim | None:
        """Take over as much of an execution's claim as is wanted; None when it has none, or a smaller one."""
        claim = execution.claim
        if claim is None or not wanted.within(claim):
            return None
        execution.give_claim()
        self._slots.give_back(claim)
        return self._slots.take(wanted)

    def _acknowledged(self, lease: Lease) -> None:
        """Let a step begin whose start, and the success before it, the broker has acknowledged."""
        if not self._leases.holds(lease):
            return
        self._leases.hold(lease)
        execution = self._executions.get(lease.step)
        if execution is not None:
            execution.acknowledge()

    def copies(self) -> list[Path]:
        """Return the local copies of artifacts that running steps read."""
        running = (*self._executions.values(), *self._orphans)
        return [path for execution in running for path in execution.copies]

    # --- timers
    # -------------------------------------------------------------------------------------------------------

    def beat(self, *, leaving: bool = False) -> None:
        """Send a heartbeat now."""

        def done(error: Exception | None) -> None:
            if error is None:
                self.hello.set()
                self._around.pool.renew_idle(self._supervisor_seconds)
            else:
                log.warning("heartbeat not delivered", reason=str(error))

        builds = (each.building for each in self._executions.values() if each.building is not None)
        heartbeat = self._heartbeats.next(draining=self._draining, leaving=leaving, building=builds)
        self._outbox.heartbeat(heartbeat, done)

    async def keep_alive(self) -> None:
        """Send heartbeats and renewals until cancelled."""
        while True:
            self.beat()
            self._renew()
            await asyncio.sleep(self._renew_seconds)

    def _renew(self) -> None:
        for lease in self._leases.leases():
            if lease.serves is not None:
                # The engine may not have heard it, and nothing else of the step's would tell it.
                self._outbox.event(lease.partition, lease.serves, urgent=False)
        for partition, renewal in self._leases.renewals().items():
            held = tuple(e for e in self._executions.values() if e.lease.partition == partition)

            def renewed(
                held: tuple[Execution, ...] = held,
                sent: float = self._loop.time(),
                partition: int = partition,
            ) -> None:
                self._renewed_at[partition] = sent
                for execution in held:
                    execution.renew(ago=self._loop.time() - sent)

            self._outbox.renew(partition, renewal, renewed)

    def _look_at_disks(self) -> None:
        """Measure the disk usage of running steps on a thread."""
        self._measured_at = self._loop.time()
        places = [(each, each.disk) for each in self._executions.values() if each.disk]
        if places:
            self._measuring = self._loop.create_task(self._measure(places))

    async def _measure(self, places: Sequence[tuple[Execution, tuple[Path, ...]]]) -> None:
        for execution, paths in places:
            used = await self._around.off_loop(used_bytes, paths)
            if used > self._around.settings.step_disk_bytes:
                execution.overfill(used)

    def _tick_soon(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(_TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        self._around.pool.look()
        limited = self._around.settings.step_disk_bytes > 0 and (
            self._measuring is None or self._measuring.done()
        )
        if limited and self._loop.time() - self._measured_at >= _MEASURE_SECONDS:
            self._look_at_disks()
        for execution in (*self._executions.values(), *self._orphans):
            execution.tick()
        if self._executions or self._orphans:
            self._tick_soon()

    # --- shutdown
    # -----------------------------------------------------------------------------------------------------

    def _start_draining(self) -> None:
        if self._draining:
            return
        self._draining = True
        for lease in tuple(self._queue):
            self._hand_back(lease.request, "the runner is draining")
            self._leases.end(lease.key)
        self._queue.clear()
        for execution in tuple(self._executions.values()):
            if execution.lease.phase is Phase.FOLLOWING:
                execution.stop(Stop.LEAVING)
        if not self._executions and not self._orphans:
            self._quiet.set()
        self.beat()

    async def drain(self, grace_seconds: float) -> None:
        """Accept nothing more, let running steps finish for a while, then stop them and hand them back.

        Returns when none is running.
        """
        self._start_draining()
        try:
            await asyncio.wait_for(self._quiet.wait(), grace_seconds)
        except TimeoutError:
            self._hand_back_running()
            await self._quiet.wait()

    def _hand_back_running(self) -> None:
        self._around.preparer.stop()
        for execution in tuple(self._executions.values()):
            execution.stop(Stop.LEAVING)

    async def leave(self, seconds: float) -> None:
        """End the workers, send the last heartbeat, and wait at most `seconds` for all acknowledgements."""
        await self._around.pool.close()
        self.beat(leaving=True)
        try:
            await asyncio.wait_for(self._outbox.drained(), seconds)
        except TimeoutError:
            log.error(
                "records not acknowledged before exit; leases expire instead", seconds=seconds
            )
