"""SystemService against a real gRPC server over a real store."""

from __future__ import annotations

from kaonapi.system.v1 import system_pb2, system_pb2_grpc

from .conftest import Api


async def test_a_coordinator_tells_how_it_is(api: Api) -> None:
    api.others.broker_is_down = True
    told = await system_pb2_grpc.SystemServiceStub(api.channel).Diagnose(system_pb2.DiagnoseRequest())
    found = {check.name: check for check in told.checks}
    assert told.owner == "here"
    assert found["database"].verdict == system_pb2.VERDICT_GOOD
    assert found["broker"].verdict == system_pb2.VERDICT_BAD
    assert "not heard for" in found["broker"].text
    assert found["commands"].text == "none waits"
