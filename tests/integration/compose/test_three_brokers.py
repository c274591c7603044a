"""Three brokers, of which one is killed and then two. Takes a system of its own: KAON_LONG_TESTS=1 runs it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from stack import Stack, StackConfig, alone, settings_in, told
from support import load, until
from workload import Workload

from kaon_local.paths import ROOT

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not os.environ.get("KAON_LONG_TESTS"),
        reason="three brokers and a second system take some minutes: KAON_LONG_TESTS=1",
    ),
]

BROKERS = ("kafka", "kafka-2", "kafka-3")
AWAY_SECONDS = 8.0


@pytest.fixture(scope="module")
def three(images: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The system as deploy/compose/ha.env makes it."""
    settings = settings_in(ROOT / "deploy" / "compose" / "ha.env")
    config = StackConfig(
        project=f"kaon-ha-{os.getpid()}", state=tmp_path_factory.mktemp("three"), settings=settings
    )
    with alone(config) as stack:
        stack.up("--scale", "coordinator=2", "--scale", "step-runner=2")
        yield stack


def working(stack: Stack) -> Workload:
    work = Workload(
        stack.api, load("containers/workflow.py", "fan_out"), count=4, seconds=0.2
    ).start()
    until(lambda: work.acknowledged >= 8, seconds=90, what="eight runs under way")
    return work


def kill(stack: Stack, names: tuple[str, ...], what: str) -> None:
    work = working(stack)
    victims = [stack.container(name) for name in names]
    for victim in victims:
        victim.kill()
    time.sleep(AWAY_SECONDS)
    if len(victims) == 1:
        target = work.acknowledged + 4
        until(
            lambda: work.acknowledged >= target,
            seconds=60,
            what="runs are accepted without the broker",
        )
    for victim in victims:
        victim.start()
    for victim in victims:
        stack.await_healthy(victim)
    target = work.acknowledged + 8
    until(lambda: work.acknowledged >= target, seconds=120, what="runs are accepted again")
    outcome = work.finish()
    told(
        what,
        [
            f"longest pause {outcome.longest_pause:.1f} s",
            f"{len(outcome.runs)} runs, {outcome.steps} steps, {outcome.lost} leases lost",
        ],
    )
    assert outcome.lost == 0, "brokers that are away cost no lease"


def test_one_killed_broker_of_three_is_a_pause(three: Stack) -> None:
    kill(three, BROKERS[1:2], "kill of one broker of three")


def test_two_killed_brokers_of_three_are_waited_for(three: Stack) -> None:
    kill(three, BROKERS[1:], "kill of two brokers of three")
