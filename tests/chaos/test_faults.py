"""Processes are killed in the middle of a run; the run goes on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from support import Api, alive, ledger_lines, load, until

from kaon_local.system import System
from kaon_wire import canonical
from kaonapi.run.v1 import run_pb2, run_service_pb2

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]


@pytest.fixture
def api(light_system: System) -> Iterator[Api]:
    api = Api(light_system.api)
    yield api
    api.close()


def done(ledger: Path) -> Counter[str]:
    return Counter(line["step"] for line in ledger_lines(ledger) if line["event"] == "done")


def stored(api: Api) -> set[str]:
    request = run_service_pb2.ListRunsRequest(page_size=500)
    return {run.run_id for run in api.runs.ListRuns(request, wait_for_ready=True).runs}


def test_a_killed_runners_step_runs_again_elsewhere_and_the_run_succeeds(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    run = api.submit(load("faults/workflow.py"), count=3, seconds=6.0, ledger=str(ledger))
    leased = api.await_leased(run, "/train")
    victim = next(
        each
        for each in light_system.runners
        if each.config.env["KAON_RUNNER_ID"] == leased.runner_id
    )
    until(
        lambda: any(line["event"] == "started" for line in ledger_lines(ledger)),
        seconds=20,
        what="a start",
    )
    victim.kill()
    ended = api.wait(run)
    assert ended.status == run_pb2.STATUS_SUCCEEDED
    steps = api.steps(run)
    moved = [step for step in steps.values() if step.lost_runners]
    assert leased.path in {step.path for step in moved}
    assert all(step.runner_id != leased.runner_id for step in moved)
    assert all(step.attempt == 1 for step in steps.values()), "a lost runner uses up no attempt"
    assert set(done(ledger).values()) == {1}


def test_a_killed_runner_leaves_no_process_of_its_steps(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    api.submit(load("faults/workflow.py"), count=4, seconds=60.0, ledger=str(ledger))
    until(
        lambda: sum(line["event"] == "started" for line in ledger_lines(ledger)) == 4,
        seconds=20,
        what="four starts",
    )
    pids = [line["pid"] for line in ledger_lines(ledger) if line["event"] == "started"]
    for runner in light_system.runners:
        runner.kill()
    until(
        lambda: not any(alive(pid) for pid in pids),
        seconds=10,
        what="the steps' processes are gone",
    )


def test_a_killed_coordinator_goes_on_and_runs_no_finished_step_again(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    run = api.submit(load("faults/workflow.py"), count=6, seconds=3.0, ledger=str(ledger))
    until(
        lambda: done(ledger)["regions[r0]/train"] >= 1 or sum(done(ledger).values()) >= 3,
        seconds=40,
        what="steps",
    )
    light_system.coordinator.kill()
    light_system.coordinator.start()
    assert api.wait(run).status == run_pb2.STATUS_SUCCEEDED
    assert set(done(ledger).values()) == {1}
    assert len(done(ledger)) == 8
    assert all(step.lost_runners == 0 for step in api.steps(run).values())


def test_a_killed_broker_comes_back_and_nothing_acknowledged_is_lost(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    workflow = load("faults/workflow.py")
    version = api.register(workflow)
    runs = [
        api.submit_version("faults", version, count=2, seconds=2.0, ledger=str(ledger))
        for _ in range(5)
    ]
    until(lambda: sum(done(ledger).values()) >= 3, seconds=40, what="steps")
    light_system.kafka.kill()
    runs += [
        api.submit_version("faults", version, count=2, seconds=0.2, ledger=str(ledger))
        for _ in range(5)
    ]
    light_system.kafka.start()
    for run in runs:
        assert api.wait(run, 180).status == run_pb2.STATUS_SUCCEEDED
        assert all(step.lost_runners == 0 for step in api.steps(run).values()), (
            "an absent broker costs no step"
        )


def test_an_acknowledged_submit_survives_the_coordinators_death(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    workflow = load("faults/workflow.py")
    version = api.register(workflow)
    run = api.submit_version("faults", version, key="k1", count=1, seconds=0.1, ledger=str(ledger))
    light_system.coordinator.kill()
    light_system.coordinator.start()
    again = api.submit_version(
        "faults", version, key="k1", count=1, seconds=0.1, ledger=str(ledger)
    )
    assert again == run, "the same idempotency key gives the same run"
    assert api.wait(run).status == run_pb2.STATUS_SUCCEEDED
    assert done(ledger)["join"] == 1


def test_runs_of_one_call_are_made_once_though_the_coordinator_dies_before_it_answers(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    """It is killed when the first of them is stored: each is there once, whether or not it was stored then."""
    ledger, before = tmp_path / "ledger", stored(api)
    version = api.register(load("faults/workflow.py"))
    params = {"count": "1", "seconds": "0.01", "ledger": canonical.dumps(str(ledger))}
    requests = [
        run_service_pb2.SubmitRunRequest(
            workflow="faults",
            version=version,
            params_json=params,
            idempotency_key=f"one call {number}",
        )
        for number in range(150)
    ]
    call = api.runs.SubmitRuns.future(run_service_pb2.SubmitRunsRequest(requests=requests))
    until(lambda: bool(stored(api) - before), seconds=60, what="a stored run")
    light_system.coordinator.kill()
    # What it would have told is lost, unless it was faster than the kill.
    with suppress(grpc.RpcError):
        call.result()
    light_system.coordinator.start()
    wanted = run_service_pb2.SubmitRunsRequest(requests=requests)
    answers = api.runs.SubmitRuns(wanted, wait_for_ready=True, timeout=60).answers
    assert [each.refusal for each in answers if each.HasField("refusal")] == []
    assert not answers[0].created
    assert len({answer.run_id for answer in answers}) == 150
    assert stored(api) - before == {answer.run_id for answer in answers}
    for answer in answers[::50]:
        assert api.wait(answer.run_id).status == run_pb2.STATUS_SUCCEEDED


def test_a_paused_runner_that_wakes_as_a_zombie_changes_nothing(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    run = api.submit(load("faults/workflow.py"), count=2, seconds=6.0, ledger=str(ledger))
    leased = api.await_leased(run, "/train")
    zombie = next(
        each
        for each in light_system.runners
        if each.config.env["KAON_RUNNER_ID"] == leased.runner_id
    )
    zombie.pause()
    try:
        api.await_event(
            run,
            lambda event: (
                event.HasField("step_lease_lost") and event.step_lease_lost.path == leased.path
            ),
        )
    finally:
        zombie.resume()
    assert api.wait(run).status == run_pb2.STATUS_SUCCEEDED
    step = api.steps(run)[leased.path]
    assert step.generation == 2
    assert step.runner_id != leased.runner_id, "only the new holder's result counts"


def test_a_coordinator_that_dies_again_and_again_runs_nothing_twice(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    workflow = load("faults/workflow.py")
    version = api.register(workflow)
    runs = [
        api.submit_version("faults", version, count=3, seconds=1.0, ledger=str(ledger))
        for _ in range(10)
    ]
    for _ in range(3):
        time.sleep(1.0)
        light_system.coordinator.kill()
        light_system.coordinator.start()
    assert {api.wait(run).status for run in runs} == {run_pb2.STATUS_SUCCEEDED}
    executions = Counter(
        (line["run"], line["step"]) for line in ledger_lines(ledger) if line["event"] == "done"
    )
    assert set(executions.values()) == {1}
    assert len(executions) == 50
