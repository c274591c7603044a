"""A coordinator's shell over the in-memory broker and SQLite, with a clock that tests move and a runner that they play."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kaon_artifacts import ArtifactStore
from kaon_coordinator import expressions
from kaon_coordinator.shell.artifact_io import ArtifactIO
from kaon_coordinator.shell.coordinator import Coordinator
from kaon_coordinator.shell.lease_proofs import NO_PROOFS
from kaon_coordinator.shell.outbox import Seal, unsigned
from kaon_coordinator.shell.shell_settings import Clocks, ShellSettings
from kaon_coordinator.store.base import NewRun, RunRecord
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.thread import StoreThread
from kaon_coordinator.transport.memory import MemoryGroup, MemoryTransport
from kaon_service.heartbeat_signatures import HeartbeatSigner, HeartbeatVerifier
from kaon_wire import canonical, topics
from kaon_wire.memory import MemoryBroker
from kaon_wire.partitioning import partition_of
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

CATALOGUE = topics.Catalogue(run_partitions=1, pool_partitions=1, runner_partitions=1)
INCARNATION = "runner-1"


class Silent:
    """Sinks that keep what was committed."""

    def __init__(self) -> None:
        self.events: list[history_pb2.HistoryEvent] = []
        self.progressed: list[step_pb2.StepEvent] = []
        self.logged: list[log_pb2.LogLines] = []
        # Commits with notices.
        self.notices = 0

    def committed(self, events: Sequence[history_pb2.HistoryEvent]) -> None:
        self.events += events

    def notified(self) -> None:
        self.notices += 1

    def progress(self, reports: Mapping[int, Sequence[step_pb2.StepEvents]]) -> None:
        self.progressed += [
            event
            for records in reports.values()
            for record in records
            for event in record.events
            if event.HasField("progress")
        ]

    async def logs(self, lines: Sequence[log_pb2.LogLines]) -> None:
        self.logged += lines


class Clock:
    """Both kinds of time, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def clocks(self) -> Clocks:
        return Clocks(now_us=lambda: int(self.now * 1e6), monotonic=lambda: self.now)


class Member:
    """One coordinator of the world."""

    def __init__(self, world: World, owner: str, *, begin_seconds: float = 60.0) -> None:
        self.store = StoreThread(open_store(world.url))
        self.transport = MemoryTransport(world.group)
        self.sinks = Silent()
        self.coordinator = Coordinator(
            settings=ShellSettings(
                owner=owner,
                catalogue=world.catalogue,
                proofs=world.proofs,
                seal=world.seal,
                heartbeats=world.heartbeats,
                tick_seconds=0.005,
                poll_seconds=0.01,
                begin_seconds=begin_seconds,
            ),
            store=self.store,
            transport=self.transport,
            meter=expressions.Meter,
            sinks=self.sinks,
            clocks=world.clock.clocks(),
            artifact_io=ArtifactIO(world.artifacts),
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.transport.start(self.coordinator)
        self._task = asyncio.create_task(self.coordinator.run())

    @property
    def works(self) -> bool:
        """Whether nothing has ended it."""
        return self._task is not None and not self._task.done()

    async def stop(self) -> None:
        await self.transport.stop()
        # What has ended it is not of interest here.
        await asyncio.gather(self.transport.failed(), return_exceptions=True)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.store.close()


class World:
    """Broker, database and clock; members and a runner come and go."""

    def __init__(self, directory: Path, run_partitions: int = 1, url: str = "") -> None:
        self.catalogue = replace(CATALOGUE, run_partitions=run_partitions)
        self.artifacts = ArtifactStore(f"file://{directory}/artifacts")
        self.proofs = NO_PROOFS
        self.seal: Seal = unsigned
        self.heartbeats: HeartbeatVerifier | None = None
        # Of the runner, where heartbeats are checked.
        self.signers: dict[str, HeartbeatSigner] = {}
        self.url = url or f"sqlite:///{directory}/kaon.db"
        self.clock = Clock()
        self.broker = MemoryBroker(self.catalogue.topics())
        self.group = MemoryGroup(self.broker)
        self.ready = self._reader(topics.step_ready("default"))
        self.commands = self._reader(topics.RUNNER_COMMANDS)
        self._sequence = 0

    def now_us(self) -> int:
        """The wall clock."""
        return int(self.clock.now * 1e6)

    def _reader(self, topic: str):  # type: ignore[no-untyped-def]
        reader = self.broker.reader(lambda: None)
        reader.assign(topic, 0)
        return reader

    def submit(self, member: Member, run_id: str = "run", steps: int = 1) -> None:
        """A run of some parallel steps, acknowledged."""
        blocks = [
            d.Block(name=f"s{n}", step=d.Step(type="python", outputs={"out": d.VALUE_TYPE_INT}))
            for n in range(steps)
        ]
        version = self.register(member, d.WorkflowDefinition(name="w", body=d.Graph(blocks=blocks)))
        self.submit_run(member, "w", version, run_id)
        # Owners look for what nobody woke them for every now and then.
        self.clock.now += 0.1

    def register(self, member: Member, definition: d.WorkflowDefinition) -> str:
        """A version of a workflow."""
        version = canonical.digest_message(definition)
        member.store.store.put_workflow("default", definition, version, 1)
        return version

    def submit_run(
        self, member: Member, workflow: str, version: str, run_id: str = "run", **fields: object
    ) -> RunRecord:
        """A run of a registered workflow, acknowledged; its owner is woken."""
        usual = {
            "run_id": run_id,
            "tenant": "default",
            "workflow": workflow,
            "version": version,
            "partition": partition_of(run_id, self.catalogue.run_partitions),
            "params": {},
            "submitter": "me",
            "idempotency_key": "",
            "now_us": int(self.clock.now * 1e6),
        }
        run, _ = member.store.store.submit_run(NewRun(**(usual | fields)))  # type: ignore[arg-type]
        member.coordinator.wake(run.partition)
        return run

    def command(self, member: Member, run_id: str, **command: object) -> None:
        """A command to a run, acknowledged; its owner is woken."""
        wish = command_pb2.RunCommand(run_id=run_id, requester="me", reason="why", **command)  # type: ignore[arg-type]
        run = member.store.store.add_command("default", run_id, wish, int(self.clock.now * 1e6))
        member.coordinator.wake(run.partition)

    def hello(self, incarnation: str = INCARNATION, **keys: object) -> None:
        """A heartbeat."""
        self._sequence += 1
        heartbeat = runner_pb2.RunnerHeartbeat(
            pool="default",
            runner_id=incarnation,
            incarnation=incarnation,
            sequence=self._sequence,
            labels={"step-type.python": "yes"},
            time_us=int(self.clock.now * 1e6),
            **keys,  # type: ignore[arg-type]
        )
        heartbeat.capacity.slots = 8
        heartbeat.capacity.cpu_milli = 8000
        heartbeat.capacity.memory_bytes = 1 << 30
        signer = self.signers.get(incarnation)
        value = signer.seal(heartbeat) if signer else heartbeat.SerializeToString()
        self._produce(topics.RUNNER_HEARTBEATS, value)

    def report(
        self,
        key: step_pb2.StepKey,
        incarnation: str = INCARNATION,
        *,
        partition: int = 0,
        **event: object,
    ) -> None:
        """A runner's word about one step."""
        record = step_pb2.StepEvents(runner_id=incarnation, incarnation=incarnation)
        record.events.append(step_pb2.StepEvent(key=key, **event))  # type: ignore[arg-type]
        self.broker.produce(topics.STEP_EVENTS, partition, record.SerializeToString())

    def renew(self, *keys: step_pb2.StepKey, incarnation: str = INCARNATION) -> None:
        """A runner's renewal."""
        record = step_pb2.StepEvents(runner_id=incarnation, incarnation=incarnation)
        record.renewal.held.extend(keys)
        self._produce(topics.STEP_EVENTS, record.SerializeToString())

    def _produce(self, topic: str, value: bytes) -> None:
        partition = partition_of("default", 1)
        self.broker.produce(topic, partition, value)

    def heard(self, topic: str) -> bool:
        """Whether everything that was said in a topic's only partition has been applied."""
        return self.group.committed.get((topic, 0), 0) == self.broker.end_offset(topic, 0)

    async def releases(self) -> list[step_pb2.StepRequest]:
        """What has been released to the runner and not been looked at."""
        return [
            release
            for record in self.ready.poll()
            for release in step_pb2.StepReleases.FromString(record.value).releases
        ]

    async def released(self, count: int = 1) -> list[step_pb2.StepRequest]:
        """The next releases to the runner."""
        found: list[step_pb2.StepRequest] = []
        async with asyncio.timeout(5):
            while len(found) < count:
                for record in self.ready.poll():
                    found += step_pb2.StepReleases.FromString(record.value).releases
                await asyncio.sleep(0.002)
        return found

    async def commanded(self) -> list[runner_pb2.RunnerCommand]:
        """The next commands other than requests for a heartbeat."""
        async with asyncio.timeout(5):
            while True:
                found = [
                    command
                    for record in self.commands.poll()
                    for command in runner_pb2.RunnerCommands.FromString(record.value).commands
                    if not command.HasField("report")
                ]
                if found:
                    return found
                await asyncio.sleep(0.002)

    async def until(self, condition) -> None:  # type: ignore[no-untyped-def]
        """Returns when the condition holds."""
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 -- what is awaited has no event
                await asyncio.sleep(0.002)


def new_run(world: World, member: Member, run_id: str = "run", **fields: object) -> NewRun:
    """A submission of a workflow of one step, which is registered."""
    block = d.Block(name="s", step=d.Step(type="python", outputs={"out": d.VALUE_TYPE_INT}))
    definition = d.WorkflowDefinition(name="w", body=d.Graph(blocks=[block]))
    world.register(member, definition)
    usual: dict[str, Any] = {
        "run_id": run_id,
        "tenant": "default",
        "workflow": "w",
        "version": canonical.digest_message(definition),
        "partition": partition_of(run_id, world.catalogue.run_partitions),
        "params": {},
        "submitter": "me",
        "idempotency_key": f"key of {run_id}",
        "now_us": world.now_us(),
        "labels": {"team": "a"},
    }
    return NewRun(**(usual | fields))
