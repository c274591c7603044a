"""Forks from every event of runs that were stopped or failed: each of them ends, wherever it begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from kaon_coordinator.engine.actions import Continue, TakePermits
from kaon_coordinator.engine.commands.fork import fork_state
from kaon_coordinator.engine.decide import decide
from kaon_coordinator.engine.messages import (
    Cancel,
    Message,
    PermitsGranted,
    Start,
    Started,
    Succeeded,
)
from kaon_coordinator.engine.state import transitions as t
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import branch, chain, fan, for_each, literal, output, repeat, step, workflow
from .driver import Driver, failure
from .test_forks import fork

BY = {"reason": "because", "requester": "me"}


def within(name: str, *blocks: d.Block) -> d.Block:
    return d.Block(name=name, group=d.Group(body=chain(*blocks)))


def with_pause(block: d.Block) -> d.Block:
    """The repeat with a wait between its iterations."""
    block.repeat.backoff_ms = 10_000_000
    return block


AROUND: dict[str, Callable[[], d.Block]] = {
    "group": lambda: within("k", step("a")),
    "branch": lambda: branch("k", literal(True), chain(step("a"))),
    "foreach": lambda: for_each("k", literal([1, 2, 3]), chain(step("a")), at_once=1),
    "repeat": lambda: repeat("k", chain(step("a")), output("a")),
    "repeat that waits": lambda: with_pause(repeat("k", chain(step("a")), output("a"))),
    "repeat in a foreach": lambda: for_each(
        "k", literal([1, 2]), chain(with_pause(repeat("r", chain(step("a")), output("a"))))
    ),
    "group in a repeat": lambda: repeat("k", chain(within("g", step("a"))), literal(False)),
}


def go_on(driver: Driver, *, steps: int = 100) -> None:
    """Gives the locks that are asked for and executes at most so many steps."""
    while True:
        for asked in driver.asked(TakePermits):
            driver.tell(PermitsGranted(path=asked.path, asked=asked.asked))
        if steps == 0 or not driver.requested:
            return
        path = driver.requested.pop(0)
        if driver.state.steps[path].status == t.READY:
            driver.execute(path)
            steps -= 1


def ends(driver: Driver) -> bool:
    """Tell whether a run ends when all that it asks for is done."""
    for _ in range(10):
        go_on(driver)
        driver.drain()
        if driver.state.ended:
            return True
    return False


def stopped(block: d.Block, cause: str, after: int) -> Driver:
    """A run that is stopped, or in which a step beside the block fails, after some steps of the block."""
    beside = step("beside")
    beside.phase = d.PHASE_BODY
    hook = step("hook")
    hook.phase = d.PHASE_FINALLY
    driver = Driver(
        workflow(fan(beside, block, hook)),
        lambda each: failure() if each.block.name == "beside" else {"out": False},
    )
    driver.tell(Start())
    held_back = [path for path in driver.requested if path == "beside"]
    driver.requested = [path for path in driver.requested if path != "beside"]
    go_on(driver, steps=after)
    ways: dict[str, Message] = {
        "run": Cancel(**BY),
        "by force": Cancel(**BY, force=True),
        "block": Cancel(path="k", **BY),
    }
    if cause in ways:
        driver.tell(ways[cause])
    driver.requested += held_back
    ends(driver)
    return driver


@pytest.mark.parametrize("locked", [False, True], ids=["free", "locked"])
@pytest.mark.parametrize("cause", ["run", "by force", "block", "failure"])
@pytest.mark.parametrize("kind", AROUND)
def test_a_fork_from_any_event_of_a_run_that_is_stopped_ends(
    kind: str, cause: str, locked: bool
) -> None:
    """A run is nowhere left with a block that runs and has nothing in it."""
    for after in range(3):
        block = AROUND[kind]()
        if locked:
            block.locks.add(name="hall")
        original = stopped(block, cause, after)
        last = len(original.history)
        for events in range(max(1, last - 9), last + 1):
            forked = fork(original, events=events)
            begun = fork_state(original.replayed(events), "r2")
            # No wait of the original run is over when it begins.
            forked.now_us = original.history[events - 1].time_us
            forked.tell(Start())
            assert ends(forked), f"a fork from {original.history[events - 1]}"
            forked.check_replay_over(begun)


@pytest.mark.parametrize("path", ["", "k"], ids=["run", "block"])
def test_a_fork_from_a_stop_goes_on_as_if_nobody_had_stopped_the_run(path: str) -> None:
    answers = iter([False, True])
    driver = Driver(
        workflow(chain(AROUND["repeat that waits"](), step("after"))),
        lambda each: {"out": next(answers)} if each.block.name == "a" else {"out": 1},
    )
    driver.tell(Start())
    go_on(driver)
    driver.tell(Cancel(path=path, **BY))
    told = ("run_cancel_requested", "block_stop_requested")
    seq = next(event.seq for event in driver.history if event.WhichOneof("event") in told)
    forked = fork(driver, events=seq)
    forked.tell(Start())
    assert ends(forked)
    assert forked.state.status == t.SUCCEEDED


def test_a_repeat_whose_condition_waits_for_a_later_turn_ends_with_what_is_around_it() -> None:
    """Its last iteration succeeded although it was being stopped."""
    driver = Driver(
        workflow(chain(repeat("k", chain(step("a")), output("a")))), lambda _: {"out": False}
    )
    driver.tell(Start())
    lease = driver.lease("k#1/a")
    driver.tell(Started(lease=lease))
    driver.tell(Cancel(**BY))
    late = replace(driver.context(), meter=Spent())
    decision = decide(driver.state, Succeeded(lease=lease, outputs={"out": "false"}), late)
    assert decision.actions[-1] == Continue(path="k")
    assert not driver.state.ended
    driver.absorb(decision)
    assert driver.state.status == t.CANCELLED
    driver.check_replay()


class Spent:
    """A meter of a turn whose time for expressions is over."""

    spent = True

    def begin_node(self) -> None: ...
