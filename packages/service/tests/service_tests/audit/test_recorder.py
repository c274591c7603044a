"""Calls to a real server are recorded before their callers hear of the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from kaon_service.access.admission import OPEN
from kaon_service.access.credentials import Credentials, Unauthenticated
from kaon_service.access.guard import Guard
from kaon_service.access.limits import AllLimits, TenantLimits
from kaon_service.access.rates import Rates
from kaon_service.access.recording import CallRecord, Part
from kaon_service.audit.auditing import Auditing
from kaon_service.audit.log import AuditLog, AuditRules
from kaon_service.audit.recorder import AuditRecorder
from kaon_service.audit.servicer import SERVICE
from kaon_service.audit.settings import AuditSettings, Recorded, audit_settings
from kaon_service.audit.store import AuditStore, Wanted
from kaon_service.interceptors import CallRules
from kaon_service.principal import Principal
from kaon_service.server import GrpcServer
from kaon_service.statuses import StatusTable
from kaon_wire.errors import InvalidValue
from kaonapi.access.v1 import audit_service_pb2 as a
from kaonapi.access.v1 import audit_service_pb2_grpc
from kaonapi.run.v1.run_service_pb2 import SubmitRunRequest

STATUSES = StatusTable(service="tester", otherwise=grpc.StatusCode.FAILED_PRECONDITION)


async def somebody(credentials: Credentials) -> Principal:
    """Take the bearer token for the name; "bad" is nobody."""
    if credentials.bearer in {"", "bad"}:
        raise Unauthenticated("no such token")
    roles = frozenset(
        {"tenant-admin", "viewer", "platform-admin"} if credentials.bearer == "ada" else ()
    )
    return Principal(tenant="red", name=credentials.bearer, roles=roles, authentication="token")


@asynccontextmanager
async def serving(
    path: Path, recorded: Recorded, limits: TenantLimits | None = None
) -> AsyncIterator[tuple[audit_service_pb2_grpc.AuditServiceAsyncStub, AuditStore]]:
    """Serve the audit log's own service, with its calls recorded."""
    url = f"sqlite:///{path / 'audit.db'}"
    auditing = Auditing(AuditSettings(recorded=recorded), url, lambda: 7)
    guard = Guard(
        admission=replace(OPEN, authenticate=somebody),
        recorder=auditing.recorder,
        rates=Rates(AllLimits(default=limits or TenantLimits())),
    )
    server = GrpcServer([SERVICE], CallRules(statuses=STATUSES, guard=guard))
    auditing.add_to(server.grpc)
    port = await server.start("127.0.0.1:0")
    store = AuditStore(url)
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield audit_service_pb2_grpc.AuditServiceStub(channel), store
    await server.stop(0)
    await auditing.close()
    store.close()


def as_(name: str) -> Any:
    return {"metadata": (("authorization", f"Bearer {name}"),)}


def outcomes(store: AuditStore) -> list[tuple[str, str, str, str]]:
    return [
        (row.call.tenant, row.call.principal, row.call.method.rpartition("/")[2], row.call.outcome)
        for row in reversed(store.newest(Wanted()))
    ]


async def flood(stub: audit_service_pb2_grpc.AuditServiceAsyncStub) -> None:
    for _ in range(1_000):
        await stub.ListAudit(a.ListAuditRequest(), **as_("ada"))


async def test_changes_and_refusals_are_recorded(tmp_path: Path) -> None:
    async with serving(tmp_path, Recorded.CHANGES) as (stub, store):
        await stub.ListAudit(a.ListAuditRequest(), **as_("ada"))
        assert outcomes(store) == []
        async for _ in stub.ExportAudit(a.ExportAuditRequest(), **as_("ada")):
            pass
        for name in ("bad", "eve"):
            with pytest.raises(aio.AioRpcError):
                await stub.ListAudit(a.ListAuditRequest(), **as_(name))
        assert outcomes(store) == [
            ("red", "ada", "ExportAudit", "OK"),
            ("", "", "ListAudit", "UNAUTHENTICATED"),
            ("red", "eve", "ListAudit", "PERMISSION_DENIED"),
        ]


async def test_reads_are_recorded_when_the_settings_say_so(tmp_path: Path) -> None:
    async with serving(tmp_path, Recorded.ALL) as (stub, store):
        listed = await stub.ListAudit(a.ListAuditRequest(), **as_("ada"))
        assert list(listed.rows) == []
        assert outcomes(store) == [("red", "ada", "ListAudit", "OK")]


async def test_a_call_beyond_its_tenants_limit_is_refused_with_the_time_and_recorded(
    tmp_path: Path,
) -> None:
    limits = TenantLimits(calls_per_second=1)
    async with serving(tmp_path, Recorded.CHANGES, limits) as (stub, store):
        with pytest.raises(aio.AioRpcError) as refused:
            await flood(stub)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "limit calls_per_second" in str(refused.value.details())
        assert b"RetryInfo" in dict(refused.value.trailing_metadata())["grpc-status-details-bin"]
        assert ("red", "ada", "ListAudit", "RESOURCE_EXHAUSTED") in outcomes(store)


def test_settings_follow_authentication_unless_they_say_otherwise() -> None:
    assert audit_settings({}, authenticated=False).recorded is Recorded.OFF
    assert audit_settings({}, authenticated=True).recorded is Recorded.CHANGES
    assert audit_settings({"KAON_AUDIT": "all"}, authenticated=False).recorded is Recorded.ALL


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"KAON_AUDIT": "some"}, "KAON_AUDIT: 'some'"),
        ({"KAON_AUDIT_RETENTION_DAYS": "-1"}, "KAON_AUDIT_RETENTION_DAYS: '-1'"),
        ({"KAON_AUDIT_RETENTION_DAYS": "nan"}, "KAON_AUDIT_RETENTION_DAYS"),
        ({"KAON_AUDIT_KEY": "/nowhere"}, "KAON_AUDIT_KEY: /nowhere holds no private key"),
    ],
)
def test_wrong_settings_are_named(environment: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        audit_settings(environment, authenticated=True)


@pytest.mark.parametrize(
    ("outcome", "rows"), [("NOT_FOUND", 1), ("UNAUTHENTICATED", 1), ("OK", 0), ("UNAVAILABLE", 0)]
)
async def test_a_read_is_recorded_when_it_asked_for_what_may_be_another_tenants(
    outcome: str, rows: int, tmp_path: Path
) -> None:
    log = AuditLog(AuditStore(f"sqlite:///{tmp_path}/audit.db"), AuditRules(), lambda: 1)
    call = CallRecord(method="/kaonapi.run.v1.RunService/GetRun", request=None)
    call.outcome = outcome
    await AuditRecorder(log, lambda: 1, reads=False).recorded(call)
    assert len(log.store.newest(Wanted())) == rows
    await log.close()


async def test_parts_of_a_call_are_recorded_in_its_place_each_with_its_end(tmp_path: Path) -> None:
    log = AuditLog(AuditStore(f"sqlite:///{tmp_path}/audit.db"), AuditRules(), lambda: 1)
    requests = [SubmitRunRequest(workflow=f"w{number}") for number in range(700)]
    parts = [Part(request=request, outcome="OK") for request in requests]
    parts[3].outcome, parts[4].outcome = "NOT_FOUND", ""
    call = CallRecord(method="/kaonapi.run.v1.RunService/SubmitRuns", parts=parts)
    call.outcome = "CANCELLED"
    await AuditRecorder(log, lambda: 1, reads=False).recorded(call)
    rows = [row.call for row in log.store.newest(Wanted(limit=1_000))][::-1]
    assert [row.named for row in rows] == [f"workflow=w{number}" for number in range(700)]
    ends = {number: row.outcome for number, row in enumerate(rows) if row.outcome != "OK"}
    assert ends == {3: "NOT_FOUND", 4: "CANCELLED"}
    assert len({row.request_digest for row in rows}) == 700
    await log.close()
