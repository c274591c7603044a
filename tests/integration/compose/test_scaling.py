"""More runners are more throughput, without a setting and without a restart."""

from __future__ import annotations

import pytest
from stack import Stack, told
from support import load
from workload import Workload

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


def steps_a_second(stack: Stack, *, runs: int) -> float:
    """Of steps that wait for half a second: they do not need these cores, so what is seen is how slots are filled."""
    flow = load("containers/workflow.py", "fan_out")
    work = Workload(stack.api, flow, at_once=runs, total=runs, count=30, seconds=0.5)
    outcome = work.start().join(180)
    return outcome.steps / outcome.seconds


def test_throughput_follows_the_number_of_runners(stack: Stack) -> None:
    rates: dict[int, float] = {}
    for runners in (1, 4):
        stack.scale("step-runner", runners)
        names = {each.id for each in stack.containers("step-runner")}
        assert len(names) == runners
        rates[runners] = steps_a_second(stack, runs=4)
    stack.scale("step-runner", 1)
    told(
        "scaling",
        [
            f"{runners} runners of 4 slots: {rate:.0f} steps of 0.5 s a second"
            for runners, rate in rates.items()
        ],
    )
    assert rates[4] > 2.5 * rates[1]
