"""Wrong settings are refused before anything is started, with the step's path and what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from harness import request

from kaon_runner.disk.step_directory import StepDirectory
from kaon_runner.errors import InvalidSettings, PlatformStepError, UserStepError
from kaon_runner.settings import Settings
from kaon_runner.steptypes.base import CommandLaunch, PreparedStep, StepType, WorkerLaunch
from kaon_runner.steptypes.docker import DockerStepType, name_of
from kaon_runner.steptypes.hive import HiveStepType
from kaon_runner.steptypes.publish import PublishStepType
from kaon_runner.steptypes.r import RStepType
from kaon_runner.steptypes.scala import ScalaStepType
from kaon_runner.steptypes.spark import SparkStepType, session_id

SETTINGS = Settings(hive="127.0.0.1:1", spark_connect="sc://127.0.0.1:1", publisher="127.0.0.1:1")


def prepared(
    config: Mapping[str, Any], root: Path, scratch: str = "file:///scratch/1"
) -> PreparedStep:
    bundle = root / "bundle"
    bundle.mkdir(exist_ok=True)
    (bundle / "x.R").touch()
    (bundle / "x.jar").touch()
    wanted = request("any", config, path="cycle#2/train")
    return PreparedStep(
        key=wanted.key,
        spec=wanted.spec,
        directory=StepDirectory(place=str(root / "step")),
        context_json=json.dumps({"config": config, "inputs": {}}),
        bundle=bundle,
        scratch=scratch,
    )


@pytest.mark.parametrize(
    ("step_type", "config", "message"),
    [
        (HiveStepType(), {}, 'give "query" or "file"'),
        (HiveStepType(), {"query": "SELECT 1", "file": "x.sql"}, "one of them"),
        (HiveStepType(), {"query": 3}, '"query" must be text, it is 3'),
        (
            HiveStepType(),
            {"query": "SELECT 1", "qeury": "x"},
            "unknown setting qeury; known are file, query",
        ),
        (HiveStepType(), {"file": "absent.sql"}, "which the code bundle does not have"),
        (HiveStepType(), {"file": "../../etc/passwd"}, "which the code bundle does not have"),
        (SparkStepType(), {"entry": "a:b", "driver": "yarn"}, '"driver" must be one of'),
        (SparkStepType(), {"entry": "a:b", "conf": {"x": 1}}, '"conf" must be texts by name'),
        (RStepType(), {}, '"file" must be text'),
        (RStepType(), {"file": "x.R", "function": 1}, '"function" must be text'),
        (ScalaStepType(), {"file": "x.jar"}, 'is a jar: give "main"'),
        (
            ScalaStepType(),
            {"file": "x.jar", "main": "X", "jvm_options": "-Xmx1g"},
            '"jvm_options" must be a list',
        ),
        (DockerStepType(), {}, '"image" must be text'),
        (DockerStepType(), {"image": "x", "argv": "echo"}, '"argv" must be a list of texts'),
        (DockerStepType(), {"image": "x", "env": {"A": 1}}, '"env" must be texts by name'),
        (
            DockerStepType(),
            {"image": "x", "memory_bytes": 100},
            '"memory_bytes" must be a whole number of at least',
        ),
        (
            DockerStepType(),
            {"image": "x", "memory_bytes": True},
            '"memory_bytes" must be a whole number',
        ),
        (DockerStepType(), {"image": "x", "cpus": "2"}, '"cpus" must be a number'),
        (
            DockerStepType(),
            {"image": "x", "pids": 0},
            '"pids" must be a whole number of at least 1',
        ),
        (
            DockerStepType(),
            {"image": "x", "pull": "sometimes"},
            '"pull" must be one of missing, always, never',
        ),
        (PublishStepType(), {}, '"model_name" must be text'),
        (PublishStepType(), {"model_name": "m"}, "input model must be an artifact"),
    ],
)
def test_wrong_settings_are_refused(
    step_type: StepType, config: Mapping[str, Any], message: str, tmp_path: Path
) -> None:
    step = prepared(config, tmp_path)
    with pytest.raises(UserStepError) as refused:
        step_type.prepare(step, SETTINGS)
    assert message in str(refused.value)
    assert "cycle#2/train" in str(refused.value)
    assert not step.directory.exists()


def test_two_executions_of_one_lease_share_neither_container_nor_session(tmp_path: Path) -> None:
    one, other = (
        prepared({}, tmp_path, f"hdfs://h/kaon/scratch/run-1/train/1-1-{incarnation}")
        for incarnation in "ab"
    )
    assert name_of(one.scratch) != name_of(other.scratch)
    assert session_id(one) != session_id(other)


def test_what_a_spark_client_leaves_at_the_server_is_released_by_the_supervisor(
    tmp_path: Path,
) -> None:
    step = prepared({"entry": "a:b"}, tmp_path)
    launch = SparkStepType().prepare(step, SETTINGS)
    assert isinstance(launch, CommandLaunch)
    assert launch.cleanup[0][-3:] == ("sc://127.0.0.1:1", "default", str(session_id(step)))


CLOSED = {
    "hive": "https://127.0.0.1:1/cliservice",
    "spark_connect": "sc://127.0.0.1:1/;use_ssl=true",
}


def test_a_step_is_told_the_token_of_its_tenant_and_no_other(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("other secret-of-other\ndefault secret\n\ndefault older\n")
    settings = Settings(**CLOSED, engines_ca="/ca.pem", engines_tokens=tokens)
    told = {"KAON_ENGINES_CA": "/ca.pem", "KAON_ENGINE_TOKEN": "secret"}
    hive = HiveStepType().prepare(prepared({"query": "SELECT 1"}, tmp_path), settings)
    assert isinstance(hive, WorkerLaunch)
    assert told.items() <= hive.worker.env.items()
    spark = SparkStepType().prepare(prepared({"entry": "a:b"}, tmp_path), settings)
    assert isinstance(spark, CommandLaunch)
    assert told.items() <= spark.env.items()
    assert "secret" not in str((spark.argv, spark.cleanup))
    assert "secret-of-other" not in str((hive, spark))
    # Read anew for each step.
    tokens.write_text("default newer\n")
    assert "newer" in str(
        HiveStepType().prepare(prepared({"query": "SELECT 1"}, tmp_path), settings)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("other x\n", "no token of tenant 'default'"),
        ("\ndefault\n", "line 2 of"),
    ],
)
def test_a_tenant_without_a_token_is_a_fault_of_the_platform(
    text: str | None, message: str, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    if text is not None:
        tokens.write_text(text)
    settings = Settings(**CLOSED, engines_tokens=tokens)
    with pytest.raises(PlatformStepError, match=message):
        SparkStepType().prepare(prepared({"entry": "a:b"}, tmp_path), settings)


@pytest.mark.parametrize("changed", [{"hive": "h:10000"}, {"spark_connect": "sc://h:15002"}])
def test_tokens_are_shown_over_tls_alone(changed: Mapping[str, str], tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="with KAON_ENGINES_TOKENS it must"):
        Settings(**{**CLOSED, **changed}, engines_tokens=tmp_path / "tokens")
