"""Containers of a system under load are restarted, killed and cut off; what was acknowledged ends as it must."""

from __future__ import annotations

import time

import pytest
from stack import Stack, told
from support import Api, load, until
from workload import Outcome, Workload

from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

# Of a fault, before it is ended; long enough to be felt by everybody.
FAULT_SECONDS = 4.0


@pytest.fixture
def work(stack: Stack) -> Workload:
    """Runs of some short steps, four at a time, well under way."""
    workload = Workload(
        stack.api, load("containers/workflow.py", "fan_out"), count=4, seconds=0.5
    ).start()
    until(lambda: workload.acknowledged >= 6, seconds=60, what="some runs have ended, some go on")
    return workload


def finish(work: Workload, what: str, more: int = 4) -> Outcome:
    """Some more runs after the fault, then the end."""
    target = work.acknowledged + more
    until(lambda: work.acknowledged >= target, seconds=120, what="runs are accepted again")
    outcome = work.finish()
    told(
        what,
        [
            f"longest pause {outcome.longest_pause:.1f} s",
            f"{len(outcome.runs)} runs, {outcome.steps} steps, {outcome.lost} leases lost, {outcome.repeated} submits repeated",
        ],
    )
    return outcome


def test_a_restart_of_postgresql_loses_nothing(stack: Stack, work: Workload) -> None:
    stack.container("postgres").restart(timeout=10)
    finish(work, "restart of PostgreSQL")


def test_a_restart_of_the_broker_costs_no_step(stack: Stack, work: Workload) -> None:
    broker = stack.container("kafka")
    broker.restart(timeout=20)
    stack.await_healthy(broker)
    outcome = finish(work, "restart of the broker")
    assert outcome.lost == 0, "a broker that is away costs no lease"


def test_a_killed_coordinators_runs_go_on_with_the_other(stack: Stack, work: Workload) -> None:
    victim = stack.container("coordinator")
    victim.kill()
    try:
        finish(work, "kill of one of two coordinators")
    finally:
        victim.start()
    stack.await_healthy(victim)


def test_a_runner_that_is_cut_off_for_long_loses_its_steps_to_another(stack: Stack) -> None:
    stack.scale("step-runner", 2)
    work = Workload(
        stack.api, load("containers/workflow.py", "fan_out"), count=4, seconds=0.5
    ).start()
    until(lambda: work.acknowledged >= 6, seconds=60, what="some runs have ended, some go on")
    victim = stack.container("step-runner", 1)
    stack.cut(victim)
    # Longer than a lease, so that others take its steps while it still works on them.
    time.sleep(13)
    stack.mend(victim, "step-runner")
    finish(work, "a runner off the network for 13 s")
    stack.await_healthy(victim)
    stack.scale("step-runner", 1)


def test_a_runner_that_is_frozen_for_a_moment_keeps_its_steps(stack: Stack, work: Workload) -> None:
    victim = stack.container("step-runner")
    victim.pause()
    time.sleep(FAULT_SECONDS)
    victim.unpause()
    outcome = finish(work, f"a runner frozen for {FAULT_SECONDS:g} s")
    assert outcome.lost == 0, "less than a lease costs no lease"


def test_a_publication_waits_for_a_registry_that_is_away(stack: Stack, api: Api) -> None:
    registry = stack.container("registry")
    registry.kill()
    try:
        run = api.submit(load("containers/workflow.py", "publishing"), factor=5.0)
        api.await_leased(run, "publish")
        time.sleep(FAULT_SECONDS)
        assert api.get(run).run.status == run_pb2.STATUS_RUNNING
    finally:
        registry.start()
    ended = api.wait(run, 90)
    assert ended.status == run_pb2.STATUS_SUCCEEDED, ended.error
    until(
        lambda: stack.predict({"x": 2}) == {"y": 10.0}, seconds=20, what="the consumer's prediction"
    )
