"""More runners are more throughput, without a setting and without a restart."""

from __future__ import annotations

import pytest
from stack import Stack, told
from support import load
from workload import Workload

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


def steps_a_second(stack: Stack, *, runs: int, count: int, seconds: float) -> float:
    work = Workload(
        stack.api,
        load("containers/workflow.py", "fan_out"),
        at_once=runs,
        total=runs,
        count=count,
        seconds=seconds,
    )
    outcome = work.start().join(180)
    return outcome.steps / outcome.seconds


def test_throughput_follows_the_number_of_runners(stack: Stack) -> None:
    """Steps that wait do not need these cores: what is seen is how slots are filled."""
    waiting: dict[int, float] = {}
    empty: dict[int, float] = {}
    for runners in (1, 2, 4):
        stack.scale("step-runner", runners)
        names = {each.id for each in stack.containers("step-runner")}
        assert len(names) == runners
        waiting[runners] = steps_a_second(stack, runs=4, count=40, seconds=0.5)
        empty[runners] = steps_a_second(stack, runs=4, count=200, seconds=0.0)
    stack.scale("step-runner", 1)
    told(
        "scaling",
        [
            f"{runners} runners of 4 slots: {waiting[runners]:.0f} steps of 0.5 s/s, {empty[runners]:.0f} empty steps/s"
            for runners in waiting
        ],
    )
    assert waiting[2] > 1.5 * waiting[1]
    assert waiting[4] > 2.5 * waiting[1]
