"""The main job on real parts: Kafka, HDFS, Hive, Spark, R, Scala and, where there is one, a Docker engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pandas as pd
import pytest
from shared_system import revive
from support import Api

from kaon import load_workflow
from kaon_local.fetch import movielens
from kaon_local.paths import ROOT
from kaon_local.system import System
from kaonapi.model.v1 import model_pb2, model_pb2_grpc
from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(600)]

WORKFLOW = ROOT / "examples" / "recommendations" / "workflow.py"


@pytest.fixture
def api(system: System) -> Iterator[Api]:
    api = Api(system.api)
    yield api
    api.close()


def regions_of(steps: dict[str, run_pb2.StepView]) -> set[str]:
    paths = (
        path for path in steps if path.startswith("cycle#1/") and path.endswith("/train-region")
    )
    return {path.partition("[")[2].partition("]")[0] for path in paths}


def passes_of(steps: dict[str, run_pb2.StepView]) -> list[dict[str, object]]:
    last = max(path for path in steps if path.endswith("/validate-model"))
    history: list[dict[str, object]] = json.loads(steps[last].outputs_json["history"])
    return history


def break_everything_once(system: System, api: Api, run: str) -> dict[str, int]:
    """Kills a runner, the coordinator and the broker in the first pass; returns the generations of what had succeeded before."""
    victim = api.await_leased(run, "/train-region").runner_id
    runner = next(each for each in system.runners if each.config.env["KAON_RUNNER_ID"] == victim)
    runner.kill()
    runner.start()
    api.await_event(
        run,
        lambda event: (
            event.HasField("step_ended") and event.step_ended.path.endswith("/validate-region")
        ),
    )
    steps = api.steps(run).items()
    before = {
        path: step.generation for path, step in steps if step.status == run_pb2.STATUS_SUCCEEDED
    }
    for server in (system.coordinator, system.kafka):
        server.kill()
        server.start()
    return before


def test_the_main_job_survives_deaths_repeats_until_stable_and_publishes_a_model_that_is_picked_up(
    system: System, api: Api, tmp_path: Path
) -> None:
    run = api.submit(load_workflow(WORKFLOW), data=str(movielens()))
    try:
        before = break_everything_once(system, api, run)
        ended = api.wait(run, 500)
    finally:
        revive((system.kafka, system.coordinator, *system.runners))
    steps = api.steps(run)
    assert any(step.lost_runners for step in steps.values()), "a killed runner held something"
    assert {path: steps[path].generation for path in before} == before, "no finished step ran again"
    assert all(step.attempt == 1 for step in steps.values()), (
        "deaths of the platform use up no attempt"
    )
    assert ended.status == run_pb2.STATUS_SUCCEEDED, ended.error
    history = passes_of(steps)
    assert [each["stable"] for each in history] == [False] * (len(history) - 1) + [True]
    assert len(history) >= 2, "with the default settings the first pass is not stable"
    assert history[1]["shrinkage"] > history[0]["shrinkage"], (
        "what changes is decided by the last result"
    )
    assert all((each["low"] >= each["threshold"]) == each["stable"] for each in history)
    assert len(regions_of(steps)) == 7
    check_errors(steps)
    check_report(steps)
    check_published(system, steps["publish"])
    check_consumer(system, tmp_path)


def uri_of(step: run_pb2.StepView, output: str) -> str:
    uri: str = json.loads(step.outputs_json[output])["artifact"]["uri"]
    return uri.removeprefix("file://")


def check_errors(steps: dict[str, run_pb2.StepView]) -> None:
    """Every model of every pass beats one who knows only the mean rating."""
    table = pd.read_csv(uri_of(steps["cycle#1/wrangle"], "regional_set"), dtype={"region": str})
    checked = {"validate-global": 0, "validate-region": 0}
    for path, step in steps.items():
        name = path.rpartition("/")[2]
        if name not in checked:
            continue
        region = path.partition("[")[2].partition("]")[0]
        rated = table[table["region"] == region] if region else table
        known, held_out = rated[~rated["holdout"]]["rating"], rated[rated["holdout"]]["rating"]
        error_of_the_mean = float(((held_out - known.mean()) ** 2).mean() ** 0.5)
        assert json.loads(step.outputs_json["rmse"]) < error_of_the_mean, path
        checked[name] += 1
    passes = len(passes_of(steps))
    assert checked == {"validate-global": passes, "validate-region": 7 * passes}


def check_report(steps: dict[str, run_pb2.StepView]) -> None:
    """What people read of the passes, and the pictures in it."""
    report, rows = steps["report"], json.loads(steps["cycle#1/get-users"].outputs_json["rows"])
    texts = {name: Path(uri_of(report, name)).read_text() for name in ("markdown", "html")}
    for text in texts.values():
        assert "not stable" in text
        assert f"{rows} users in 7 regions" in text
    assert texts["html"].count("data:image/png;base64,") == 2
    for name in ("error_plot", "convergence_plot"):
        assert Path(uri_of(report, name)).read_bytes().startswith(b"\x89PNG")


def check_published(system: System, step: run_pb2.StepView) -> None:
    assert system.publisher is not None
    with grpc.insecure_channel(system.publisher.config.endpoints["KAON_PUBLISHER"]) as channel:
        request = model_pb2.GetModelRequest(model="recommendations")
        version = model_pb2_grpc.ModelServiceStub(channel).GetModel(request).version
    assert version.image_digest == json.loads(step.outputs_json["digest"])
    assert version.lineage.data_digests
    wanted = (
        model_pb2.VERIFICATION_RUN_IN_CONTAINER if system.docker else model_pb2.VERIFICATION_NOT_RUN
    )
    assert version.verification == wanted, version.verification_details


def check_consumer(system: System, state: Path) -> None:
    assert system.publisher is not None
    argv = [
        sys.executable,
        str(ROOT / "examples" / "consumer" / "consumer.py"),
        *("--publisher", system.publisher.config.endpoints["KAON_PUBLISHER"]),
        *("--once", "--state", str(state), "--request", '{"user": 42, "n": 5}'),
    ]
    env = os.environ | system.environment()
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Recommendations for user 42" in done.stdout
    assert (
        len(
            [
                line
                for line in done.stdout.splitlines()
                if line.lstrip()[:2] in {f"{n}." for n in range(1, 6)}
            ]
        )
        == 5
    )


def test_a_run_that_never_gets_stable_ends_failed_with_the_reason(api: Api) -> None:
    """Stability of 1 is out of reach; a pass over a small cohort shows it. That passes follow one another is shown above."""
    workflow = load_workflow(WORKFLOW)
    definition = workflow.definition()
    (cycle,) = (block.repeat for block in definition.body.blocks if block.HasField("repeat"))
    cycle.max_iterations = 1
    version = api.register(workflow, definition)
    run = api.submit_version(
        workflow.name, version, data=str(movielens()), max_regions=1, min_ratings=100, threshold=1.0
    )
    ended = api.wait(run, 300)
    assert ended.status == run_pb2.STATUS_FAILED
    assert ended.error.type == "RepeatExhausted"
    assert "after 1 iteration" in ended.error.message
    assert api.steps(run)["publish"].status == run_pb2.STATUS_SKIPPED
