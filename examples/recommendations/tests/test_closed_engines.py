"""Hive and Spark steps call the servers over TLS, as their tenant, and nobody does without its token."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pandas as pd
import pytest
from by_hand import BUNDLE, Ended, Steps

from kaon_local.secure.engines import EnginesGateway
from kaon_local.spark import SparkServer
from kaon_runner.children.spark_interrupt import release

pytestmark = pytest.mark.real


@pytest.fixture
def steps(tmp_path: Path, engines: dict[str, str]) -> Steps:
    found = f"{BUNDLE}:{Path(__file__).parent}"
    return Steps(root=tmp_path, env={**engines, "PYTHONPATH": found})


def test_hive_knows_the_tenant_as_user(steps: Steps) -> None:
    ended = steps.query("SELECT current_user() AS name", {"users": "dataset"})
    assert ended.code == 0, ended.text
    found = pd.read_parquet(ended.outputs["users"]["artifact"]["path"])
    assert found.to_dict("records") == [{"name": "default"}]


def test_spark_connect_knows_the_tenant_as_user(steps: Steps, spark: SparkServer) -> None:
    ended = steps.spark("engine_steps:count", {}, {"rows": "int"})
    assert (ended.code, ended.outputs) == (0, {"rows": 1000}), ended.text
    tags = {tag for job in _jobs(spark) for tag in job["jobTags"] if "_User_" in tag}
    assert tags
    assert {tag.partition("_User_")[2].partition("_Session_")[0] for tag in tags} == {"default"}


def test_a_step_with_a_wrong_token_is_refused_and_no_fault_of_its_code(steps: Steps) -> None:
    wrong = replace(steps, env={**steps.env, "KAON_ENGINE_TOKEN": "guessed"})
    for ended, what in (
        (wrong.query("SELECT 1", {}), "401"),
        (wrong.spark("engine_steps:count", {}, {"rows": "int"}), "UNAUTHENTICATED"),
    ):
        error = _error(ended)
        assert (error["type"], what in error["message"]) == ("PlatformFault", True), error
        assert "guessed" not in ended.text


@pytest.mark.parametrize(
    ("shown", "status", "code"),
    [
        ("", 401, grpc.StatusCode.UNAUTHENTICATED),
        ("guessed", 401, grpc.StatusCode.UNAUTHENTICATED),
        ("other", 403, grpc.StatusCode.PERMISSION_DENIED),
        ("default", None, None),
    ],
)
def test_only_the_token_of_the_tenant_that_is_named_opens_either_server(
    gateway: EnginesGateway,
    engine_tokens: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    shown: str,
    status: int | None,
    code: grpc.StatusCode | None,
) -> None:
    token = engine_tokens.get(shown, shown)
    answer = _asked(gateway, "", token)
    # The right one comes through: the server itself refuses what is no message.
    assert answer == status if status is not None else answer not in (401, 403)
    monkeypatch.setenv("KAON_ENGINES_CA", str(gateway.config.files.ca))
    monkeypatch.setenv("KAON_ENGINE_TOKEN", token)
    url = gateway.endpoints()["KAON_SPARK_CONNECT"]
    session = "00000000-0000-4000-8000-000000000000"
    if code is None:
        release(url, "default", session)
        return
    with pytest.raises(grpc.RpcError) as refused:
        release(url, "default", session)
    assert refused.value.code() == code


def test_hive_takes_no_other_user_from_the_address(
    gateway: EnginesGateway, engine_tokens: dict[str, str]
) -> None:
    assert _asked(gateway, "?doAs=other", engine_tokens["default"]) == 403
    assert _asked(gateway, "/more", engine_tokens["default"]) == 403


def test_neither_server_speaks_without_tls(gateway: EnginesGateway) -> None:
    config = gateway.config
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(f"http://127.0.0.1:{config.hive_port}/cliservice", b"", timeout=10)
    with pytest.raises(grpc.RpcError):
        release(
            f"sc://127.0.0.1:{config.connect_port}",
            "default",
            "00000000-0000-4000-8000-000000000000",
        )


def _asked(gateway: EnginesGateway, more: str, token: str) -> int:
    """The status with which the gateway, or the server behind it, answers user `default`."""
    shown = base64.b64encode(f"default:{token}".encode()).decode()
    request = urllib.request.Request(
        gateway.endpoints()["KAON_HIVE"] + more, b"x", {"Authorization": f"Basic {shown}"}
    )
    context = ssl.create_default_context(cafile=gateway.config.files.ca)
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def _error(ended: Ended) -> dict[str, Any]:
    assert ended.code != 0, ended.text
    (error,) = [event for event in ended.events if event["kind"] == "error"]
    return error


def _jobs(spark: SparkServer) -> Iterator[dict[str, Any]]:
    base = f"{spark.endpoints()['KAON_SPARK_UI']}/api/v1/applications"
    with urllib.request.urlopen(base, timeout=20) as answer:
        (application,) = json.load(answer)
    with urllib.request.urlopen(f"{base}/{application['id']}/jobs", timeout=20) as answer:
        yield from json.load(answer)
