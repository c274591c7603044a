"""The main job, with a runner, the coordinator and the broker killed in its middle."""

from __future__ import annotations

import json

import pytest
from shared_system import revive
from support import Api

from kaon import load_workflow
from kaon_local.fetch import movielens
from kaon_local.paths import ROOT
from kaon_local.system import System
from kaonapi.run.v1 import history_pb2, run_pb2

pytestmark = [pytest.mark.real, pytest.mark.e2e, pytest.mark.timeout(400)]


def ended(event: history_pb2.HistoryEvent, step: str) -> bool:
    return event.HasField("step_ended") and event.step_ended.path.endswith(step)


def test_the_main_job_survives_the_death_of_a_runner_the_coordinator_and_the_broker(system: System) -> None:
    workflow = load_workflow(ROOT / "examples" / "recommendations" / "workflow.py")
    api = Api(system.api)
    try:
        run = api.submit(workflow, data=str(movielens()), max_regions=2, threshold=0.0)

        victim = api.await_leased(run, "/train-region").runner_id
        runner = next(each for each in system.runners if each.config.env["KAON_RUNNER_ID"] == victim)
        runner.kill()
        runner.start()

        api.await_event(run, lambda event: ended(event, "/validate-region"))
        before = finished(api, run)
        system.coordinator.kill()
        system.coordinator.start()

        system.kafka.kill()
        system.kafka.start()

        assert api.wait(run, 300).status == run_pb2.STATUS_SUCCEEDED
        steps = api.steps(run)
    finally:
        api.close()
        revive((system.kafka, system.coordinator, *system.runners))
    assert any(step.lost_runners for step in steps.values()), "a killed runner held something"
    assert {path: steps[path].generation for path in before} == before, "no finished step ran again"
    assert all(step.attempt == 1 for step in steps.values()), "deaths of the platform use up no attempt"
    history = json.loads(steps["cycle#1/validate-model"].outputs_json["history"])
    assert len(history[0]["overlaps"]) == 3, "one for each region, and the global one"


def finished(api: Api, run: str) -> dict[str, int]:
    steps = api.steps(run).items()
    return {path: step.generation for path, step in steps if step.status == run_pb2.STATUS_SUCCEEDED}
