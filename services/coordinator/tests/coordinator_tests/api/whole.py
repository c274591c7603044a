"""The API over a coordinator at work: real gRPC on loopback, SQLite, and a runner that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc import aio

from kaon_coordinator.access.bounds import TenantBounds
from kaon_coordinator.access.grants import Grants
from kaon_coordinator.api.feed import RunFeed
from kaon_coordinator.api.log_archive import LogArchive
from kaon_coordinator.api.server import ApiParts, ApiServer
from kaon_coordinator.bootstrap import validator
from kaon_coordinator.engine.definition.limits import DEFAULT
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.ids import new_run_id
from kaon_coordinator.matching.tenants import NO_LIMITS, Tenants
from kaon_coordinator.schedules.scheduler import Scheduler, SchedulerParts
from kaon_coordinator.transport.memory_records import MemoryRecords
from kaon_service.access.calling import Calling
from kaon_service.access.guard import NO_GUARD, Guard
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.run.v1 import run_service_pb2_grpc
from kaonapi.schedule.v1 import schedule_pb2_grpc
from kaonapi.workflow.v1 import definition_pb2 as d

from ..engine.build import chain
from ..shell.world import Member, World


class Whole:
    """Everything that a test needs."""

    def __init__(
        self, world: World, member: Member, scheduler: Scheduler, channel: aio.Channel
    ) -> None:
        self.world = world
        self.member = member
        self.scheduler = scheduler
        self.channel = channel
        self.runs = run_service_pb2_grpc.RunServiceStub(channel)
        self.schedules = schedule_pb2_grpc.ScheduleServiceStub(channel)

    def register(self, *blocks: d.Block, name: str = "w", **fields: Any) -> str:
        """A version of a workflow, its blocks one after the other."""
        definition = d.WorkflowDefinition(name=name, body=chain(*blocks), **fields)
        return self.world.register(self.member, definition)

    async def submit(self, **fields: Any) -> str:
        """The id of a run."""
        request = r.SubmitRunRequest(**({"workflow": "w"} | fields))
        return (await self.runs.SubmitRun(request)).run.run_id

    def status(self, run_id: str) -> int:
        """How a run stands."""
        return self.member.store.store.get_run("default", run_id).row.status

    async def ended(self, run_id: str) -> int:
        """How a run has ended."""
        await self.world.until(lambda: self.status(run_id) in t.TERMINAL)
        return self.status(run_id)

    async def waits_at(self, run_id: str, path: str, status: int) -> None:
        """Returns when something stands so."""
        store = self.member.store.store
        await self.world.until(
            lambda: (row := store.find_row(run_id, path)) is not None and row.status == status
        )


@asynccontextmanager
async def serving(
    world: World,
    owner: str = "first",
    *,
    guard: Guard = NO_GUARD,
    entitlements: Tenants = NO_LIMITS,
) -> AsyncIterator[Whole]:
    """A coordinator with its API. Schedules are looked at only when a test does it."""
    member = Member(world, owner)
    await member.start()

    async def wake(partition: int, submitted: object = None) -> None:
        member.coordinator.wake(partition)

    partitions = world.catalogue.run_partitions
    parts = SchedulerParts(
        store=member.store,
        epochs=member.coordinator.epochs,
        wake=wake,
        records=MemoryRecords(world.broker),
        partitions=partitions,
        bounds=TenantBounds(member.store, entitlements),
        grants=Grants(member.store),
        now_us=world.now_us,
        new_run_id=new_run_id,
    )
    server = ApiServer(
        ApiParts(
            guard=guard,
            entitlements=entitlements,
            calling=Calling(service="coordinator"),
            store=member.store,
            artifacts=world.artifacts,
            validate=validator(DEFAULT),
            feed=RunFeed(),
            logs=LogArchive(member.store),
            matchers=member.coordinator.pools,
            broker=member.transport,
            pools=("default",),
            owner=owner,
            wake=wake,
            begin=member.coordinator.begin,
            partitions=partitions,
            now_us=world.now_us,
        )
    )
    port = await server.start("127.0.0.1:0")
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Whole(world, member, Scheduler(parts), channel)
    finally:
        await asyncio.gather(server.stop(grace=0), member.stop())
