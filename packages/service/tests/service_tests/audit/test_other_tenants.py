"""What a request names of another tenant's audit log gets the answer of what does not exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import hostile_calls
import other_tenants
from grpc import aio

from kaon_service.access.guard import NO_GUARD
from kaon_service.access.table import TABLE
from kaon_service.audit.servicer import SERVICE, AuditServicer
from kaon_service.audit.store import AuditStore
from kaon_service.interceptors import CallRules
from kaon_service.roles import Role
from kaon_service.server import GrpcServer
from kaon_service.statuses import StatusTable
from kaonapi.access.v1 import audit_service_pb2 as a
from kaonapi.access.v1 import audit_service_pb2_grpc

from .conftest import call

# Platform administrators export the rows of all tenants.
METHODS = [
    method
    for method in hostile_calls.methods([a.DESCRIPTOR])
    if TABLE[hostile_calls.path_of(method)].role is not Role.PLATFORM_ADMIN
]
ALPHA = (("kaon-tenant", "alpha"), ("kaon-principal", "ann"))


async def test_what_another_tenant_has_is_answered_like_what_nobody_has(tmp_path: Path) -> None:
    store = AuditStore(f"sqlite:///{tmp_path / 'audit.db'}")
    store.append(
        [
            call(number, tenant=tenant, principal=f"{tenant}-zoe", named=f"run_id={tenant}-run")
            for number, tenant in enumerate(("alpha", "zulu", "alpha", "zulu"))
        ]
    )
    statuses = StatusTable(service="tester", otherwise=grpc.StatusCode.FAILED_PRECONDITION)
    server = GrpcServer([SERVICE], CallRules(statuses=statuses, guard=NO_GUARD))
    audit_service_pb2_grpc.add_AuditServiceServicer_to_server(AuditServicer(store), server.grpc)
    port = await server.start("127.0.0.1:0")
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        cases = other_tenants.cases(METHODS)
        assert {case.field for case in cases} == {"principal", "text", "page_token"}
        for case in cases:
            await _check(channel, case)
    await server.stop(0)
    store.close()


async def _check(channel: aio.Channel, case: other_tenants.Case) -> None:
    """Their page begins at one of their rows, which is nobody's for the caller."""
    theirs, nobodys, own = {
        "submitter": ("zulu-zoe", "julu-zoe", "alpha-zoe"),
        "label": ("zulu-run", "julu-run", "alpha-run"),
        "token": ("2", "1", "3"),
    }[case.kind]

    async def told(thing: str) -> str:
        request: Any = case.method.input_type._concrete_class()
        other_tenants.put(request, case.field, thing)
        # The same rows have the same numbers and hashes in both answers.
        return await other_tenants.outcome(channel, case.method, request, ALPHA, thing)

    answer = await told(theirs)
    assert "zulu" not in answer, str(case)
    if case.kind != "token":
        assert answer == await told(nobodys), str(case)
        assert answer != await told(own), str(case)
