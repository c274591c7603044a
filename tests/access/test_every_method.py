"""Every method of every service refuses who may not call it: found by reflection on the services as they are composed."""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Mapping

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped]
    reflection_pb2,
    reflection_pb2_grpc,
)

import kaonapi
from access.closed_system import ClosedSystem
from access.faults import NOBODY, UNKNOWN, bearer, call, faults_of, wrong_answers
from kaon_service.access.table import TABLE
from kaon_service.audit.store import AuditStore

SERVICES = ("coordinator", "view", "publisher")
_REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


def _load() -> None:
    for module in pkgutil.walk_packages(kaonapi.__path__, "kaonapi."):
        if module.name.endswith("_pb2"):
            importlib.import_module(module.name)


def methods_at(channel: grpc.Channel, token: str) -> list[MethodDescriptor]:
    """The methods of Kaon that a server tells by reflection."""
    _load()
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    (answer,) = stub.ServerReflectionInfo(asked, metadata=bearer(token))
    names = [each.name for each in answer.list_services_response.service]
    return [
        method
        for name in names
        if name.startswith("kaonapi.")
        for method in Default().FindServiceByName(name).methods
    ]


def test_the_services_serve_every_method_of_the_table(closed: ClosedSystem) -> None:
    served = set()
    for address in closed.addresses.values():
        with grpc.insecure_channel(address) as channel:
            served |= {
                f"/{method.containing_service.full_name}/{method.name}"
                for method in methods_at(channel, closed.tokens["valid"])
            }
    unserved = {method for method in TABLE if _REFLECTION in method}
    assert served == TABLE.keys() - unserved


@pytest.mark.parametrize("service", SERVICES)
def test_every_method_refuses_who_may_not_call_it(closed: ClosedSystem, service: str) -> None:
    with grpc.insecure_channel(closed.addresses[service]) as channel:
        methods = methods_at(channel, closed.tokens["valid"])
        assert methods
        assert wrong_answers(closed, channel, methods) == []
    refused = outcomes(closed.audited[service])
    for method in methods:
        path = f"{method.containing_service.full_name}/{method.name}"
        wanted = {fault.code.name for fault in faults_of(closed, f"/{path}")}
        assert wanted - refused[path] == set(), path


def outcomes(database: str) -> Mapping[str, set[str]]:
    """What the audit log says of the calls of each method."""
    store, found, seq = AuditStore(database), defaultdict(set), 0
    while rows := store.after(seq):
        seq = rows[-1].seq
        for row in rows:
            found[row.call.method].add(row.call.outcome)
    store.close()
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_reflection_tells_nothing_to_nobody(closed: ClosedSystem, service: str) -> None:
    with grpc.insecure_channel(closed.addresses[service]) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        for name, make in NOBODY.items():
            asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            with pytest.raises(grpc.RpcError) as told:
                next(stub.ServerReflectionInfo(asked, metadata=make(closed)))
            assert told.value.code() is UNKNOWN, name


def test_who_may_call_is_answered(closed: ClosedSystem) -> None:
    _load()
    for service, method in (
        ("coordinator", "kaonapi.run.v1.RunService.ListRuns"),
        ("view", "kaonapi.view.v1.ViewService.QueryRuns"),
        ("publisher", "kaonapi.model.v1.ModelService.ListModels"),
    ):
        with grpc.insecure_channel(closed.addresses[service]) as channel:
            described = Default().FindMethodByName(method)
            for token in (closed.tokens["valid"], closed.issuer.token()):
                assert call(channel, described, bearer(token)) is None
