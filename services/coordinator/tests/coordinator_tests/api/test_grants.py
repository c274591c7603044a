"""Knowing a digest gives nothing: neither in a parameter, a definition, a command, a schedule, nor as an output."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc import aio

from kaon_artifacts import Artifact
from kaon_coordinator.engine.state import transitions as t
from kaon_service.access.guard import NO_GUARD, Guard
from kaon_service.access.table import TABLE
from kaon_wire import canonical
from kaon_wire.artifact_references import UNPACKED_TYPES
from kaonapi.artifact.v1 import artifact_service_pb2 as a
from kaonapi.artifact.v1 import artifact_service_pb2_grpc
from kaonapi.dataset.v1 import dataset_pb2, dataset_pb2_grpc
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.schedule.v1 import schedule_pb2 as s
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d
from kaonapi.workflow.v1 import workflow_service_pb2 as w
from kaonapi.workflow.v1 import workflow_service_pb2_grpc

from ..engine.build import chain, for_each, literal, step
from ..shell.player import playing
from ..shell.world import World
from .callers import BELIEVING, person
from .whole import Whole, serving

BLUE, GREEN = person("blue", "author"), person("green", "author", name="gil")


@asynccontextmanager
async def served(path: Path, guard: Guard = BELIEVING) -> AsyncIterator[tuple[Whole, Artifact]]:
    """A system in which tenant green has an artifact, and both tenants a workflow of this shape."""
    world = World(path)
    theirs = world.artifacts.put_bytes(b"green's secret", "file")
    gate = d.Block(name="ask", gate=d.Gate(signal=d.SignalGate(name="go")))

    def given(request: step_pb2.StepRequest) -> dict[str, Any]:
        own = request.spec.tenant == "green"
        return {"out": {"artifact": theirs.to_json()} if own else 1}

    async with serving(world, guard=guard) as whole, playing(world, given):
        for who in (BLUE, GREEN):
            await register(whole, who, step("a"), gate)
        done = await whole.runs.SubmitRun(r.SubmitRunRequest(workflow="w"), metadata=GREEN)
        await whole.waits_at(done.run.run_id, "ask", t.WAITING)
        yield whole, theirs


async def register(whole: Whole, who: Any, *blocks: d.Block, name: str = "w", **fields: Any) -> str:
    """A workflow with a parameter of any type, and one for a day; its version."""
    parameters = [
        d.Parameter(name="data", type=d.VALUE_TYPE_ANY, default_json="null"),
        d.Parameter(name="day", type=d.VALUE_TYPE_STRING, default_json='""'),
    ]
    definition = d.WorkflowDefinition(
        name=name, body=chain(*blocks), parameters=parameters, **fields
    )
    workflows = workflow_service_pb2_grpc.WorkflowServiceStub(whole.channel)
    request = w.RegisterWorkflowRequest(definition=definition)
    return (await workflows.RegisterWorkflow(request, metadata=who)).workflow.version


async def refused(call: Awaitable[object], digest: str) -> str:
    """The text of a refusal, without the digest."""
    with pytest.raises(aio.AioRpcError) as told:
        await call
    code, text = told.value.code(), told.value.details() or ""
    assert code in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}
    assert digest in text
    return f"{code.name}: {text.replace(digest, 'DIGEST')}"


async def test_a_reference_is_refused_wherever_it_is_given_and_as_one_to_nothing(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as (whole, theirs):
        asked = r.SubmitRunRequest(workflow="w")
        run_id = (await whole.runs.SubmitRun(asked, metadata=BLUE)).run.run_id
        await whole.waits_at(run_id, "ask", t.WAITING)
        nothing = f"sha256:{'0' * 64}"
        given = d.Parameter(name="data", type=d.VALUE_TYPE_ANY, default_json="null")
        approval = d.Block(name="allow", gate=d.Gate(approval=d.Approval(fields=[given])))
        await register(whole, BLUE, approval, name="allowed")
        asked = r.SubmitRunRequest(workflow="allowed")
        allowed = (await whole.runs.SubmitRun(asked, metadata=BLUE)).run.run_id
        await whole.waits_at(allowed, "allow", t.WAITING)
        ways = _ways(whole, run_id, allowed)
        # Every request in which a value may stand.
        assert ways.keys() - {"RegisterWorkflowRequest"} == _with_values()
        for told in ways.values():
            texts = set()
            for digest in (theirs.digest, nothing):
                value = canonical.dumps([{"artifact": {"digest": digest, "uri": theirs.uri}}])
                texts.add(await refused(told(value), digest))
                # The same text, written in another way.
                escaped = value.replace('"artifact"', '"\\u0061rtifact"')
                texts.add(await refused(told(escaped), digest))
            assert len(texts) == 1, texts
            for kind in UNPACKED_TYPES:
                # A runner puts its content in its place, which may refer to everything: the caller's own file, too.
                own = {"digest": nothing, "uri": "file:///x", "type": kind}
                told_so = await refused(told(canonical.dumps([{"artifact": own}])), kind)
                assert "of type 'DIGEST' cannot be named" in told_so


def _with_values() -> set[str]:
    """The requests of the coordinator that have JSON texts other than what is looked for."""
    services = {path.split("/")[1] for path in TABLE} - {"kaonapi.view.v1.ViewService"}
    pool = descriptor_pool.Default()
    found = set()
    for service in services:
        for method in pool.FindServiceByName(service).methods:
            fields = list(method.input_type.fields)
            fields += [
                inner
                for field in fields
                if field.name in {"schedule", "runs"} and field.message_type is not None
                for inner in field.message_type.fields
            ]
            if any(field.name.endswith("_json") for field in fields):
                found.add(method.input_type.name)
    # It has what runs are looked for by.
    return found - {"ListRunsRequest"}


def _ways(whole: Whole, run_id: str, allowed: str) -> dict[str, Any]:
    cron = s.Cron(expression="* * * * *")
    datasets = dataset_pb2_grpc.DatasetServiceStub(whole.channel)
    ways = [
        lambda value: whole.runs.SubmitRun(
            r.SubmitRunRequest(workflow="w", params_json={"data": value}), metadata=BLUE
        ),
        lambda value: whole.runs.RerunRun(
            r.RerunRunRequest(run_id=run_id, params_json={"data": value}), metadata=BLUE
        ),
        lambda value: whole.runs.ForkRun(
            r.ForkRunRequest(run_id=run_id, params_json={"data": value}), metadata=BLUE
        ),
        lambda value: whole.runs.SignalRun(
            r.SignalRunRequest(run_id=run_id, name="go", payload_json=value), metadata=BLUE
        ),
        lambda value: whole.runs.SignalRuns(
            r.SignalRunsRequest(name="go", payload_json=value), metadata=BLUE
        ),
        lambda value: whole.runs.AnswerGate(
            r.AnswerGateRequest(
                run_id=allowed, path="allow", approved=True, values_json={"data": value}
            ),
            metadata=BLUE,
        ),
        lambda value: datasets.RecordDatasetUpdate(
            dataset_pb2.RecordDatasetUpdateRequest(name="own", outputs_json={"data": value}),
            metadata=BLUE,
        ),
        lambda value: whole.schedules.Backfill(
            s.BackfillRequest(
                workflow="w",
                parameter="day",
                first_date="2026-01-01",
                last_date="2026-01-02",
                params_json={"data": value},
            ),
            metadata=BLUE,
        ),
        lambda value: whole.runs.MarkBlock(
            r.MarkBlockRequest(
                run_id=run_id,
                path="ask",
                status=t.SUCCEEDED,  # type: ignore[arg-type]
                outputs_json={"payload": value, "by": '"x"'},
                reason="why",
            ),
            metadata=BLUE,
        ),
        lambda value: whole.schedules.PutSchedule(
            s.PutScheduleRequest(
                schedule=s.Schedule(
                    name="beat", workflow="w", cron=cron, params_json={"data": value}
                )
            ),
            metadata=BLUE,
        ),
        lambda value: register(
            whole, BLUE, step("b", data=literal(canonical.loads(value))), name="other"
        ),
    ]
    names = ("SubmitRun", "RerunRun", "ForkRun", "SignalRun", "SignalRuns", "AnswerGate")
    more = ("RecordDatasetUpdate", "Backfill", "MarkBlock", "PutSchedule", "RegisterWorkflow")
    return dict(zip((f"{name}Request" for name in (*names, *more)), ways, strict=True))


async def test_a_code_bundle_is_its_uploaders(tmp_path: Path) -> None:
    async with served(tmp_path) as (whole, theirs):
        text = await refused(
            register(whole, BLUE, step("b"), name="other", code_bundle=theirs.digest), theirs.digest
        )
        assert "is not here: upload it first" in text
        workflows = workflow_service_pb2_grpc.WorkflowServiceStub(whole.channel)
        pieces = [w.UploadBundleRequest(digest=theirs.digest, data=b"green's secret")]
        await workflows.UploadBundle(iter(pieces), metadata=BLUE)
        await register(whole, BLUE, step("b"), name="other", code_bundle=theirs.digest)


async def test_an_artifact_is_its_uploaders(tmp_path: Path) -> None:
    async with served(tmp_path) as (whole, theirs):
        value = canonical.dumps({"artifact": theirs.to_json()})
        asked = r.SubmitRunRequest(workflow="w", params_json={"data": value})
        await refused(whole.runs.SubmitRun(asked, metadata=BLUE), theirs.digest)
        artifacts = artifact_service_pb2_grpc.ArtifactServiceStub(whole.channel)
        header = a.PutArtifactHeader(digest=theirs.digest, type="file", name="x")
        pieces = [a.PutArtifactRequest(header=header), a.PutArtifactRequest(data=b"green's secret")]
        await artifacts.PutArtifact(iter(pieces), metadata=BLUE)
        await whole.runs.SubmitRun(asked, metadata=BLUE)


async def test_who_has_given_or_been_given_an_artifact_names_and_reads_it(tmp_path: Path) -> None:
    async with served(tmp_path) as (whole, theirs):
        value = canonical.dumps({"artifact": theirs.to_json()})
        asked = r.SubmitRunRequest(workflow="w", params_json={"data": value})
        run_id = (await whole.runs.SubmitRun(asked, metadata=GREEN)).run.run_id
        await whole.waits_at(run_id, "ask", t.WAITING)
        artifacts = artifact_service_pb2_grpc.ArtifactServiceStub(whole.channel)
        request = a.ReadArtifactRequest(run_id=run_id, path="a")
        read = [each.data async for each in artifacts.ReadArtifact(request, metadata=GREEN)]
        assert b"".join(read) == b"green's secret"


@pytest.mark.parametrize("way", ["an input", "an output of the run", "items"])
async def test_an_expression_makes_no_reference_of_a_text(tmp_path: Path, way: str) -> None:
    async with served(tmp_path) as (whole, theirs):
        made = d.Binding(
            expression=d.Expression(
                cel="{'artifact': {'digest': 'sha256:' + data, 'uri': 'x'}}",
                variables={"data": d.Binding(parameter="data")},
            )
        )
        output = d.Output(type=d.VALUE_TYPE_ANY, value=made)
        if way == "an input":
            await register(whole, BLUE, step("b", data=made), name="made")
        elif way == "items":
            await register(whole, BLUE, for_each("each", made, chain(step("b"))), name="made")
        else:
            await register(whole, BLUE, step("b"), name="made", outputs={"made": output})
        value = canonical.dumps(theirs.digest.removeprefix("sha256:"))
        asked = r.SubmitRunRequest(workflow="made", params_json={"data": value})
        run_id = (await whole.runs.SubmitRun(asked, metadata=BLUE)).run.run_id
        store = whole.member.store.store
        await whole.world.until(lambda: store.get_run("blue", run_id).row.status in t.TERMINAL)
        row = store.get_run("blue", run_id).row
        assert row.status == t.FAILED
        assert "expressions only pass on" in row.error


async def test_without_authentication_what_is_named_is_had_also_later(tmp_path: Path) -> None:
    async with served(tmp_path, NO_GUARD) as (whole, theirs):
        value = canonical.dumps({"artifact": theirs.to_json()})
        asked = r.SubmitRunRequest(workflow="w", params_json={"data": value})
        await whole.runs.SubmitRun(asked, metadata=BLUE)
        found = {theirs.digest.removeprefix("sha256:")}
        assert whole.member.store.store.missing_grants("blue", found) == set()
