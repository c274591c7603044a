"""Clients: they submit with idempotency keys and try again until they are answered; they send commands; answers may be lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.schedules import due
from kaon_coordinator.shell.permits import turn_of
from kaon_coordinator.store.base import RunRecord, ScheduleRecord
from kaon_coordinator.store.strategies import Wait
from kaon_wire import canonical
from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.errors import Conflict, KaonError, NotFound, Unavailable
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import command_pb2, run_pb2
from kaonapi.schedule.v1 import schedule_pb2 as s

from .loop import EPOCH_US, Process
from .plan import HOSTILE, Wish
from .versions import other_version
from .workflows import SIGNALS, TENANT

if TYPE_CHECKING:
    from .world import Member, World

_PATIENCE = 3.0
_STATUSES = (run_pb2.STATUS_SUCCEEDED, run_pb2.STATUS_FAILED, run_pb2.STATUS_SKIPPED)


class Client:
    """All clients, in one process that never fails.

    Args:
        world: where they live.
        workflows: name and version of each definition of the plan.
    """

    def __init__(self, world: World, workflows: list[tuple[str, str]]) -> None:
        self._world = world
        self._workflows = workflows
        self._random = world.draws("clients")
        self._pending = len(world.plan.wishes)
        self._runs: dict[int, asyncio.Future[str]] = {}
        self.process = Process(world.scheduler, "client", failed=world._failed)

    @property
    def settled(self) -> bool:
        """Whether every wish was acknowledged."""
        return self._pending == 0

    def begin(self) -> None:
        """Lets every wish come at its time."""
        for wish in self._world.plan.wishes:
            if wish.kind == "submit":
                self._runs[wish.run] = asyncio.Future(loop=self.process)
        for wish in self._world.plan.wishes:
            self._world.scheduler.at(wish.at, self._begin, wish)

    def _begin(self, wish: Wish) -> None:
        self.process.begin(self._fulfil(wish))

    async def go_on(self) -> None:
        """When everything must come to its end: nobody leaves a run paused or at a breakpoint; what may never end is cancelled."""
        while True:
            await asyncio.sleep(2.0)
            for kind, tenant, name in sorted(self._world.store.aside):
                await self._insist(partial(self._take_back, kind=kind, tenant=tenant, name=name))
            for run_id in sorted(self._world.checks.unended):
                state = self._world.checks.states.get(run_id)
                workflow = self._world.store.runs[run_id].record.workflow
                if workflow.startswith(HOSTILE) or self._waits_for_a_failure(state):
                    force = self._random.random() < 0.5
                    cancel = command_pb2.RequestRunCancel(
                        reason="over", requester="client", force=force
                    )
                    command = command_pb2.RunCommand(run_id=run_id, cancel=cancel)
                    await self._insist(partial(self._command, run_id=run_id, command=command))
                if state is not None and state.status == t.PAUSED:
                    resume = command_pb2.RunCommand(run_id=run_id, resume=command_pb2.ResumeRun())
                    await self._insist(partial(self._command, run_id=run_id, command=resume))
                for step in sorted(state.breakpoints if state is not None else ()):
                    passed = command_pb2.PassBreakpoint(step=step)
                    command = command_pb2.RunCommand(run_id=run_id, pass_breakpoint=passed)
                    await self._insist(partial(self._command, run_id=run_id, command=command))

    def _waits_for_a_failure(self, state: RunState | None) -> bool:
        """Whether a run waits for the success of one that has failed."""
        turn = None if state is None or state.status != t.PENDING else turn_of(state)
        if state is None or turn is None:
            return False
        standing = self._world.store.standing(state.tenant, state.run_id, turn)
        return isinstance(standing, Wait) and self._world.store.has_ended(standing.run_id)

    async def _fulfil(self, wish: Wish) -> None:
        if wish.kind == "submit":
            await self._submit(wish)
        elif wish.kind == "schedule":
            await self._insist(partial(self._put_schedule, schedule=self._schedule(wish)))
        elif wish.kind == "fork":
            if wish.run in self._runs:
                await self._fork(wish, await asyncio.shield(self._runs[wish.run]))
        elif wish.run in self._runs:
            run_id = self._meant(wish, await asyncio.shield(self._runs[wish.run]))
            command = self._wanted(wish, run_id)
            await self._insist(partial(self._command, run_id=run_id, command=command))
        self._pending -= 1

    async def _submit(self, wish: Wish) -> None:
        name, version = self._workflows[wish.workflow]
        key = f"key-{wish.run}"
        until = self._targets(wish)

        async def submit(member: Member) -> RunRecord:
            assert member.store is not None
            assert member.process is not None
            run = self._world.new_run(
                name, version, key, f"client-{wish.run}", member.process.now_us()
            )
            run = replace(run, until=until)
            assert member.coordinator is not None
            (begun,) = await member.coordinator.begin([run]) if wish.draw < 0.7 else [None]
            if isinstance(begun, Unavailable):
                raise begun
            if begun is not None:
                return begun
            (answer,) = await member.store.run(self._world.store.submit_runs, [run])
            if isinstance(answer, Conflict):
                raise answer
            record, created = answer
            if created:
                await self._wake(member, record, record)
            return record  # type: ignore[no-any-return]

        record = await self._insist(submit)
        self._world.checks.acknowledge(key, record.run_id)
        self._world.tell(f"{key} is acknowledged as run {record.run_id}")
        if not self._runs[wish.run].done():
            self._runs[wish.run].set_result(record.run_id)
        # A client that is not sure asks again later, and gets the same run.
        if wish.draw < 0.3:
            again = await self._insist(submit)
            self._world.checks.acknowledge(key, again.run_id)

    def _targets(self, wish: Wish) -> tuple[str, ...]:
        """Every sixth submission asks for a part of its workflow."""
        number = int(wish.draw * 1_000_000)
        if number % 6:
            return ()
        body = self._world.plan.definitions[wish.workflow].body
        names = [block.name for block in all_blocks(body)]
        return (names[number // 6 % len(names)],)

    async def _fork(self, wish: Wish, origin: str) -> None:
        """A fork of a run as it stands now, or was before."""
        key = f"fork-{wish.run}"
        seqs: list[int] = []

        async def fork(member: Member) -> RunRecord:
            assert member.store is not None
            assert member.process is not None
            run: RunRecord = await member.store.read(self._world.store.get_run, TENANT, origin)
            if not seqs:
                if run.row.seq == 0:
                    raise NotFound("it has not begun")
                seqs.append(1 + int(wish.draw * run.row.seq))
            version = self._version(wish, run)
            new = self._world.new_run(
                run.workflow, version, key, f"client-{key}", member.process.now_us()
            )
            new = replace(
                new,
                fork_run_id=origin,
                fork_seq=seqs[0],
                fork_reset=self._reset(wish, origin),
                fork_failed=version != run.version,
            )
            (answer,) = await member.store.run(self._world.store.submit_runs, [new])
            if isinstance(answer, Conflict):
                raise answer
            await self._wake(member, answer[0])
            return answer[0]  # type: ignore[no-any-return]

        record = await self._insist(fork)
        self._world.checks.acknowledge(key, record.run_id)
        self._world.tell(f"{key} is acknowledged as run {record.run_id}")

    def _version(self, wish: Wish, run: RunRecord) -> str:
        """The version of the fork: often another one than that of its original, which somebody registers first."""
        chance = random.Random(f"version {wish.draw}")
        if chance.random() < 0.2:
            return run.version
        store = self._world.store
        old = store.get_workflow(TENANT, run.workflow, run.version).definition
        new = other_version(old, chance)
        version = canonical.digest_message(new)
        if version != run.version:
            current = store.get_workflow(TENANT, run.workflow).definition
            store.put_workflow(TENANT, new, version, EPOCH_US)
            # What is submitted by name stays the same.
            store.put_workflow(TENANT, current, canonical.digest_message(current), EPOCH_US)
        return version

    def _reset(self, wish: Wish, origin: str) -> tuple[str, ...]:
        state = self._world.checks.states.get(origin)
        places = (
            sorted([*state.steps, *state.blocks]) if state is not None and wish.draw < 0.4 else []
        )
        return (places[int(wish.draw / 0.4 * len(places))],) if places else ()

    def _schedule(self, wish: Wish) -> ScheduleRecord:
        chance = random.Random(wish.draw)
        now_us = EPOCH_US + int(self._world.scheduler.now * 1e6)
        definition = s.Schedule(name=f"s{wish.run}", workflow=self._workflows[wish.workflow][0])
        definition.overlap = chance.choice(s.Overlap.values()[1:])
        definition.catch_up = chance.choice(s.CatchUp.values()[1:])
        if chance.random() < 0.4:
            # Nobody simulates minutes: these have passed.
            definition.cron.expression, definition.catch_up = "* * * * *", s.CATCH_UP_ALL
            definition.start_time.FromMicroseconds(now_us - chance.randint(60, 200) * 1_000_000)
            definition.end_time.FromMicroseconds(now_us)
        else:
            definition.interval.every_ms = chance.choice((1_000, 1_500, 2_500))
            definition.end_time.FromMicroseconds(now_us + chance.randint(1_000, 5_000) * 1_000)
        state = due.first_state(definition, now_us)
        schedule = ScheduleRecord(
            tenant=TENANT,
            partition=partition_of(definition.name, self._world.catalogue.run_partitions),
            definition=definition,
            next_us=due.next_scan_us(definition, state, now_us),
            state=state.to_json(),
            revision=0,
            create_us=now_us,
        )
        # Before anybody can treat it.
        self._world.checks.scheduled = schedule
        return schedule

    async def _put_schedule(self, member: Member, schedule: ScheduleRecord) -> ScheduleRecord:
        assert member.store is not None
        # A client that has not been answered must not set back a schedule that runs already.
        known = await member.store.read(self._world.store.list_schedules, TENANT)
        if not known:
            (known_now, _) = await member.store.run(self._world.store.put_schedule, schedule)
            known = [known_now]
        self._world.tell(f"schedule {schedule.name}: {' '.join(str(schedule.definition).split())}")
        return known[0]  # type: ignore[no-any-return]

    async def _command(
        self, member: Member, run_id: str, command: command_pb2.RunCommand
    ) -> RunRecord:
        assert member.store is not None
        assert member.process is not None
        record = await member.store.run(
            self._world.store.add_command, TENANT, run_id, command, member.process.now_us()
        )
        await self._wake(member, record)
        return record  # type: ignore[no-any-return]

    async def _take_back(self, member: Member, kind: str, tenant: str, name: str) -> None:
        """As a retry does with what was set aside."""
        assert member.store is not None
        await member.store.run(self._world.store.take_back, kind, tenant, name)
        if kind == "run":
            await self._wake(member, await member.store.read(self._world.store.load_run, name))

    async def _wake(
        self, member: Member, record: RunRecord, submitted: RunRecord | None = None
    ) -> None:
        assert member.coordinator is not None
        await member.coordinator.wake_owner(record.partition, submitted)

    def _meant(self, wish: Wish, run_id: str) -> str:
        """The run that a wish is about: the one that was submitted, or a child of it."""
        state = self._world.checks.states.get(run_id)
        if wish.kind != "retry_child" or state is None:
            return run_id
        children = [block.child_run_id for block in state.blocks.values() if block.child_run_id]
        return children[int(wish.draw * len(children))] if children else run_id

    def _wanted(self, wish: Wish, run_id: str) -> command_pb2.RunCommand:
        command = command_pb2.RunCommand(run_id=run_id, requester="client", reason="why")
        state = self._world.checks.states.get(run_id)
        places = sorted([*state.steps, *state.blocks]) if state is not None else []
        path = places[int(wish.draw * len(places))] if places else ""
        match wish.kind:
            case "cancel":
                command.cancel.CopyFrom(
                    command_pb2.RequestRunCancel(reason="why", requester="client")
                )
            case "cancel_block":
                command.cancel.CopyFrom(
                    command_pb2.RequestRunCancel(
                        reason="why", requester="client", path=path, skip=wish.draw < 0.5
                    )
                )
            case "answer":
                gates = sorted(state.gates) if state is not None else []
                path = gates[int(wish.draw * len(gates))] if gates else path
                command.answer.CopyFrom(
                    command_pb2.AnswerGate(path=path, approved=wish.draw < 0.7, roles=["lead"])
                )
            case "signal":
                name = SIGNALS[int(wish.draw * len(SIGNALS))]
                # To all gates of the run in half of the cases.
                to_all = wish.draw * 1000 % 1 < 0.5
                signal = command_pb2.SignalRun(name=name, payload_json="1", to_all=to_all)
                command.signal.CopyFrom(signal)
            case "retry" | "restart":
                getattr(command, wish.kind).path = path
            case "retry_run" | "retry_child":
                command.retry.SetInParent()
            case "mark":
                status = _STATUSES[int(wish.draw * 3)]
                command.mark.CopyFrom(
                    command_pb2.MarkBlock(
                        path=path, status=status, outputs_json={"out": '"by hand"'}
                    )
                )
            case "set_priority":
                command.set_priority.priority = int(wish.draw * 3)
            case "set_breakpoint":
                # A name in half of the cases: also of cells to come.
                named = path.rsplit("/", 1)[-1] if wish.draw * 1000 % 1 < 0.5 else path
                command.set_breakpoint.step = named or "s1"
            case "pass_breakpoint":
                known = sorted(state.breakpoints) if state is not None else []
                command.pass_breakpoint.step = known[int(wish.draw * len(known))] if known else path
            case "pause" | "resume":
                getattr(command, wish.kind).SetInParent()
        return command

    async def _insist(self, request: Callable[[Member], Awaitable[Any]]) -> Any:
        """Asks one coordinator after the other until one answers."""
        while True:
            member = self._random.choice(self._world.members)
            answer: asyncio.Future[Any] = self.process.create_future()
            self._world.scheduler.after(
                self._world.broker.delay(), self._arrive, member, request, answer
            )
            try:
                return await asyncio.wait_for(answer, _PATIENCE)
            except (TimeoutError, NotFound):
                continue
            except KaonError:
                await asyncio.sleep(0.3)

    def _arrive(
        self, member: Member, request: Callable[[Member], Awaitable[Any]], answer: Any
    ) -> None:
        process = member.process
        if process is None or not process.alive or member.coordinator is None:
            return
        process.call_soon(
            lambda: process.create_task(self._serve(process, member, request, answer))
        )

    async def _serve(
        self,
        process: Process,
        member: Member,
        request: Callable[[Member], Awaitable[Any]],
        answer: Any,
    ) -> None:
        """In the coordinator's process."""
        result: Any = None
        failure: KaonError | None = None
        try:
            result = await request(member)
        except KaonError as error:
            failure = error
        if self._random.random() < self._world.trouble.slow:
            return  # the answer is lost
        self._world.scheduler.after(
            self._world.broker.delay(), self._answered, answer, result, failure
        )

    def _answered(self, answer: Any, result: Any, failure: KaonError | None) -> None:
        self.process.call_soon(self._settle, answer, result, failure)

    def _settle(self, answer: Any, result: Any, failure: KaonError | None) -> None:
        if answer.done():
            return
        if failure is not None:
            answer.set_exception(failure)
        else:
            answer.set_result(result)
