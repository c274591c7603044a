"""`kaon doctor` against a real gRPC server."""

from __future__ import annotations

import json

import pytest
from sdk_api_server import World

from kaon.cli.main import execute
from kaonapi.system.v1 import system_pb2


@pytest.fixture(autouse=True)
def _server(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAON_SERVER", address)
    monkeypatch.setenv("KAON_PUBLISHER", address)
    monkeypatch.setenv("COLUMNS", "200")


def test_what_works_badly_is_told_with_what_to_do(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.checks = [
        system_pb2.Check(name="database", verdict=system_pb2.VERDICT_GOOD, text="answers"),
        system_pb2.Check(
            name="broker",
            verdict=system_pb2.VERDICT_BAD,
            text="not heard for 30 s",
            advice="look at it",
        ),
    ]
    assert execute(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "ok      database: answers" in told
    assert "BAD     broker: not heard for 30 s\n        look at it" in told
    assert "pool far: no owner: it is away" in told


def test_findings_are_json_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    execute(["doctor", "--json"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found[0]["check"] == "coordinator"
    assert found[0]["verdict"] == "ok"


def test_a_server_that_is_not_there_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["doctor", "--server", "127.0.0.1:1"]) == 1
    assert "BAD     coordinator:" in capsys.readouterr().out
