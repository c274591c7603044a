"""What a request names of another tenant's gets the answer of what does not exist, for every field of every method."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import hostile_calls
import other_tenants
from google.protobuf.message import Message
from grpc import aio

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.view_reads import open_view_reads
from kaon_coordinator.view.parts import view_parts
from kaon_coordinator.view.sources import Ear
from kaon_coordinator.view.view_server import View, ViewServer
from kaon_service.access.guard import NO_GUARD
from kaon_service.access.table import TABLE
from kaon_service.roles import Role
from kaonapi.access.v1 import access_service_pb2
from kaonapi.artifact.v1 import artifact_service_pb2
from kaonapi.dataset.v1 import dataset_pb2, dataset_pb2_grpc
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.runner.v1 import runner_pb2
from kaonapi.schedule.v1 import schedule_pb2 as s
from kaonapi.system.v1 import system_pb2
from kaonapi.view.v1 import runs_pb2, view_service_pb2, watch_pb2
from kaonapi.workflow.v1 import definition_pb2 as d
from kaonapi.workflow.v1 import workflow_service_pb2 as w
from kaonapi.workflow.v1 import workflow_service_pb2_grpc

from ..engine.build import chain, step
from ..shell.player import playing
from ..shell.world import World
from ..store.test_access_store import TOKEN
from .whole import Whole, serving

FILES = (access_service_pb2, artifact_service_pb2, log_pb2, r, runner_pb2, s, system_pb2, w)
# What only platform administrators and services call names things of all tenants.
METHODS = [
    method
    for method in hostile_calls.methods(file.DESCRIPTOR for file in FILES)
    if TABLE[hostile_calls.path_of(method)].role is not Role.PLATFORM_ADMIN
]
VIEW_METHODS = hostile_calls.methods([view_service_pb2.DESCRIPTOR])
ALPHA = (("kaon-tenant", "alpha"), ("kaon-principal", "ann"))
ZULU = (("kaon-tenant", "zulu"), ("kaon-principal", "zulu-zoe"))
NOBODYS_RUN = f"{'0' * 25}z"
# Messages within requests that name a run, which must be the caller's own where another field is tried.
_OF_ONE_RUN = {
    "QueryLogsRequest": ("filter",),
    "CountLogsRequest": ("filter",),
    "WatchRequest": ("topics.cells", "topics.events", "topics.logs", "topics.run"),
}
_READS = ("Get", "List", "Read", "Watch", "Explain", "Verify", "Query", "Count", "SeqAt")


class Tenant:
    """One tenant, with a thing of every kind."""

    def __init__(self, whole: Whole, name: str, metadata: Any) -> None:
        self.whole = whole
        self.name = name
        self.metadata = metadata
        self.things: dict[str, str] = {}
        self.numbers = itertools.count()

    async def begin(self) -> None:
        """Make the things: a run that waits at a gate after its first step, a schedule, a bound and a bundle."""
        name, whole = self.name, self.whole
        gate = d.Block(name=f"{name}-gate", gate=d.Gate(signal=d.SignalGate(name=f"{name}-go")))
        tagged = step(f"{name}-step")
        tagged.step.tags.append(f"{name}-tag")
        parameter = d.Parameter(name="name", type=d.VALUE_TYPE_STRING, default_json='"x"')
        definition = d.WorkflowDefinition(
            name=f"{name}-flow", body=chain(tagged, gate), parameters=[parameter]
        )
        workflows = workflow_service_pb2_grpc.WorkflowServiceStub(whole.channel)
        data = f"code of {name}".encode()
        pieces = [
            w.UploadBundleRequest(digest=f"sha256:{hashlib.sha256(data).hexdigest()}", data=data)
        ]
        bundle = await workflows.UploadBundle(iter(pieces), metadata=self.metadata)
        definition.code_bundle = bundle.digest
        asked = w.RegisterWorkflowRequest(definition=definition)
        version = (await workflows.RegisterWorkflow(asked, metadata=self.metadata)).workflow.version
        await whole.schedules.SetPermits(
            s.SetPermitsRequest(permits=s.Permits(tag=f"{name}-tag", limit=3)),
            metadata=self.metadata,
        )
        token = replace(TOKEN, token_id=f"{name}-token", tenant=name)
        whole.member.store.store.add_token(token)
        schedule = self.schedule()
        await whole.schedules.PutSchedule(
            s.PutScheduleRequest(schedule=schedule), metadata=self.metadata
        )
        datasets = dataset_pb2_grpc.DatasetServiceStub(whole.channel)
        told = dataset_pb2.RecordDatasetUpdateRequest(name=f"{name}-data")
        await datasets.RecordDatasetUpdate(told, metadata=self.metadata)
        submission = self.submission()
        run_id = (await whole.runs.SubmitRun(submission, metadata=self.metadata)).run.run_id
        await whole.waits_at(run_id, f"{name}-gate", t.WAITING)
        self.things = {
            "run": run_id,
            "workflow": f"{name}-flow",
            "version": version,
            "path": f"{name}-gate",
            "signal": f"{name}-go",
            "schedule": f"{name}-nightly",
            "dataset": f"{name}-data",
            "backfill": f"{name}-flow",
            "pool": "default",
            "topic": f"{name}-records",
            "tag": f"{name}-tag",
            "tenant": name,
            "secret": f"{name}-token",
            "model": f"{name}-model",
            "key": f"{name}-key",
            "submitter": dict(self.metadata)["kaon-principal"],
            "origin": f"schedule:{name}-nightly",
            "output": "out",
            "label": f"{name}-label",
            "value": f'"{name}-value"',
            "digest": bundle.digest,
            "token": run_id,
        }

    def schedule(self) -> s.Schedule:
        """Return a schedule of its workflow."""
        cron = s.Cron(expression="0 0 1 1 *")
        return s.Schedule(name=f"{self.name}-nightly", workflow=f"{self.name}-flow", cron=cron)

    def submission(self) -> r.SubmitRunRequest:
        """Return a submission with everything by which a run is found again."""
        return r.SubmitRunRequest(
            workflow=f"{self.name}-flow",
            params_json={"name": f'"{self.name}-value"'},
            labels={"name": f"{self.name}-label"},
            idempotency_key=f"{self.name}-key",
        )

    def request(self, case: other_tenants.Case) -> Any:
        """Return a request of this tenant that is in order."""
        kind = case.method.input_type
        made: dict[str, Message] = {
            "SubmitRunRequest": self.submission(),
            "SubmitRunsRequest": r.SubmitRunsRequest(requests=[self.submission()]),
            "PutScheduleRequest": s.PutScheduleRequest(schedule=self.schedule()),
            "BackfillRequest": s.BackfillRequest(
                workflow=f"{self.name}-flow",
                parameter="name",
                first_date="2026-01-01",
                last_date="2026-01-01",
                name=f"own-{next(self.numbers)}",
            ),
            "SetPermitsRequest": s.SetPermitsRequest(permits=s.Permits(tag="own", limit=2)),
            "RecordDatasetUpdateRequest": dataset_pb2.RecordDatasetUpdateRequest(name="own"),
            "MarkBlockRequest": r.MarkBlockRequest(status=t.SKIPPED, reason="why", dry_run=True),
            "RerunRunRequest": r.RerunRunRequest(params_json={"name": '"x"'}),
            "SignalRunRequest": r.SignalRunRequest(name="own"),
            "SignalRunsRequest": r.SignalRunsRequest(name="own"),
            "ListValuesRequest": runs_pb2.ListValuesRequest(
                workflow=f"{self.name}-flow", path=f"{self.name}-step", output="out"
            ),
            "WatchRequest": watch_pb2.WatchRequest(topics=[watch_pb2.Topic(key="k")]),
        }
        request: Any = made.get(kind.name) or kind._concrete_class()
        for field in kind.fields:
            own = field.name in {"run_id", "workflow", "version"} and field.name != case.field
            if own and not field.is_repeated and not getattr(request, field.name):
                setattr(request, field.name, self.things[field.name.removesuffix("_id")])
        for inner in _OF_ONE_RUN.get(kind.name, ()):
            if case.field.startswith(f"{inner}.") and case.field != f"{inner}.run_id":
                other_tenants.put(request, f"{inner}.run_id", self.things["run"])
        return request

    def kept(self) -> list[str]:
        """Return everything that the store keeps of it, as text."""
        store, things = self.whole.member.store.store, self.things
        run = store.get_run(self.name, things["run"])
        rows = [*store.list_steps(run.run_id), *store.list_blocks(run.run_id)]
        others = [
            [each.row for each in store.list_runs(self.name, page_size=100).runs],
            store.list_schedules(self.name),
            store.list_datasets(self.name, "", 100),
            store.list_permits(self.name),
            store.list_workflows(self.name),
            store.list_tokens(self.name),
            store.waiting_commands(run.partition, run.run_id),
        ]
        return [str(each) for each in (run.row, *rows, *others)]


async def _silent(ear: Ear) -> None:
    """Tell a view of no change."""
    await asyncio.Event().wait()


@asynccontextmanager
async def viewing(world: World) -> AsyncIterator[aio.Channel]:
    """The view service over the world's database."""
    view = View(view_parts(open_view_reads(world.url), world.artifacts, _silent, world.now_us))
    server = ViewServer(view, NO_GUARD)
    port = await server.start("127.0.0.1:0")
    work = asyncio.create_task(view.run())
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(grace=0)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await view.close()


def _nothing(kind: str, thing: str) -> str:
    """Return a name of the same form that nobody has."""
    if kind in {"run", "token"}:
        return NOBODYS_RUN
    if kind in {"digest", "version"}:
        return f"sha256:{'0' * 64}"
    # As similar to the caller's own names as the other tenant's: errors name similar ones.
    return thing.replace("zulu", "julu")


async def test_what_another_tenant_has_is_answered_like_what_nobody_has(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with serving(world) as whole, playing(world), viewing(world) as view:
        alpha, zulu = Tenant(whole, "alpha", ALPHA), Tenant(whole, "zulu", ZULU)
        await alpha.begin()
        await zulu.begin()
        before = zulu.kept()
        for methods, channel in ((METHODS, whole.channel), (VIEW_METHODS, view)):
            # What changes something comes last: it may make a thing of the caller's own that has this name.
            cases = other_tenants.cases(methods)
            for case in sorted(cases, key=lambda each: not each.method.name.startswith(_READS)):
                await _check(channel, case, alpha, zulu)
        assert zulu.kept() == before


async def _check(
    channel: aio.Channel, case: other_tenants.Case, alpha: Tenant, zulu: Tenant
) -> None:
    async def told(thing: str) -> str:
        request = alpha.request(case)
        other_tenants.put(request, case.field, thing)
        return await other_tenants.outcome(channel, case.method, request, ALPHA, thing)

    theirs, nobodys = zulu.things[case.kind], _nothing(case.kind, zulu.things[case.kind])
    answer, wanted = await told(theirs), await told(nobodys)
    assert answer == wanted, str(case)
    assert "zulu" not in answer, str(case)
    names_one = case.field in {"run_id", "name"} and case.method.name.startswith(_READS)
    if names_one:
        assert answer.startswith("NOT_FOUND"), str(case)
        # The request is in order: with what is the caller's own it is answered.
        assert await told(alpha.things[case.kind]) != wanted, str(case)
