"""Wrong settings are refused before anything is started, with the step's path and what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from harness import request

from kaon_runner.disk.step_directory import StepDirectory
from kaon_runner.errors import UserStepError
from kaon_runner.settings import Settings
from kaon_runner.steptypes.base import CommandLaunch, PreparedStep, StepType
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
    assert launch.cleanup[0][-2:] == ("sc://127.0.0.1:1", str(session_id(step)))
