"""A foreach starts cells as runners take their steps: those that wait for runners are few, however many items there are."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kaon_coordinator.engine.actions import Continue
from kaon_coordinator.engine.decide import decide
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.messages import (
    Answer,
    Cancel,
    HandedBack,
    LeaseExpired,
    Pause,
    Restart,
    Resume,
    Start,
    Started,
    Succeeded,
)
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import StepState
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, fan, for_each, literal, step, workflow
from .driver import Driver

TEN = literal(list(range(10)))


def works(_: StepState) -> Mapping[str, object]:
    return {"out": 1}


def begun(*blocks: d.Block, waiting: int = 4, at_once: int = 2) -> Driver:
    """A run of these blocks side by side; a turn starts at most two cells of a foreach."""
    driver = Driver(workflow(fan(*blocks)), works)
    driver.limits = Limits(waiting_steps=waiting, cells_per_turn=at_once)
    driver.tell(Start())
    return driver


def cells(driver: Driver, path: str = "f") -> int:
    return len(driver.state.blocks[path].cells)


def start(driver: Driver, path: str) -> None:
    driver.requested.remove(path)
    driver.tell(Started(lease=driver.lease(path)))


def finish(driver: Driver) -> None:
    """Let everything end that has started, or that starts."""
    for step_state in list(driver.state.steps.values()):
        if step_state.status == t.RUNNING:
            driver.tell(Succeeded(lease=driver.lease(step_state.path), outputs={"out": "1"}))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


def test_no_more_cells_start_than_may_wait_for_runners() -> None:
    driver = begun(for_each("f", TEN, chain(step("s"))))
    assert cells(driver) == driver.state.blocks["f"].waiting == 4


def test_further_cells_start_when_runners_have_taken_half() -> None:
    driver = begun(for_each("f", TEN, chain(step("s"))))
    start(driver, "f[3]/s")
    assert cells(driver) == 4
    start(driver, "f[0]/s")
    assert (cells(driver), driver.state.blocks["f"].waiting) == (6, 4)
    finish(driver)
    assert cells(driver) == 10
    driver.check_replay()


@pytest.mark.parametrize("waiting", [1, 2, 3, 7, 1_000])
def test_every_cell_starts_whatever_the_bound(waiting: int) -> None:
    driver = begun(for_each("f", TEN, chain(step("s"), step("then"))), waiting=waiting)
    finish(driver)
    assert cells(driver) == 10


def test_one_decision_starts_no_more_cells_than_may_wait() -> None:
    driver = begun(for_each("f", TEN, chain(step("s"))), waiting=3, at_once=500)
    assert cells(driver) == 3


def test_cells_that_need_no_runner_hold_up_nothing() -> None:
    gate = d.Block(name="g", gate=d.Gate(approval=d.Approval()))
    driver = begun(for_each("f", TEN, chain(gate, step("s"))), waiting=2)
    assert (cells(driver), driver.state.blocks["f"].waiting) == (10, 0)
    for number in range(10):
        driver.tell(Answer(path=f"f[{number}]/g", approved=True, requester="me", comment=""))
    finish(driver)


def test_a_foreach_whose_pool_has_no_runner_holds_up_no_other() -> None:
    lonely = for_each("f", TEN, chain(step("s")))
    lonely.for_each.body.blocks[0].step.pool = "empty"
    driver = begun(lonely, for_each("g", TEN, chain(step("u"))))
    while any(path.startswith("g") for path in driver.requested):
        path = next(path for path in driver.requested if path.startswith("g"))
        driver.requested.remove(path)
        driver.execute(path)
    assert driver.state.blocks["g"].status == t.SUCCEEDED
    assert (cells(driver), driver.state.blocks["f"].status) == (4, t.RUNNING)


def test_steps_of_inner_blocks_count_for_the_foreaches_around_them() -> None:
    inner = for_each("inner", literal([0, 1, 2]), chain(step("s")), item="other")
    driver = begun(for_each("f", TEN, chain(inner)), waiting=5)
    waiting = driver.state.blocks["f"].waiting
    assert waiting == sum(each.status == t.READY for each in driver.state.steps.values())
    assert cells(driver) < 10
    finish(driver)
    assert len(driver.state.steps) == 30


def test_max_concurrency_holds_beside_the_bound() -> None:
    driver = begun(for_each("f", TEN, chain(step("s")), at_once=3), waiting=4)
    assert cells(driver) == 3
    for number in range(3):
        start(driver, f"f[{number}]/s")
    assert cells(driver) == 3
    driver.execute("f[1]/s")
    assert cells(driver) == 4


def test_a_step_that_ends_without_a_runner_makes_room_too() -> None:
    driver = begun(for_each("f", TEN, chain(step("s"))))
    for path in ("f[0]/s", "f[1]/s"):
        driver.tell(Cancel(path=path, reason="", requester="me", skip=True))
    assert cells(driver) > 4
    assert driver.state.blocks["f"].waiting == 4


def test_a_step_that_comes_back_to_the_queue_counts_again() -> None:
    driver = begun(for_each("f", TEN, chain(step("s"))))
    driver.tell(HandedBack(lease=driver.lease("f[0]/s"), reason="full"))
    assert (cells(driver), driver.state.blocks["f"].waiting) == (4, 4)
    driver.tell(Started(lease=driver.lease("f[1]/s")))
    driver.tell(LeaseExpired(issue=driver.state.steps["f[1]/s"].issue))
    assert (cells(driver), driver.state.blocks["f"].waiting) == (4, 4)


def test_a_paused_run_starts_further_cells_when_it_is_resumed() -> None:
    driver = begun(for_each("f", TEN, chain(step("s"))))
    driver.tell(Pause(reason="", requester="me"))
    for number in range(4):
        start(driver, f"f[{number}]/s")
    assert cells(driver) == 4
    driver.tell(Resume(reason="", requester="me"))
    assert cells(driver) == 8
    finish(driver)


def test_a_new_owner_counts_anew_and_starts_further_cells() -> None:
    driver = begun(for_each("f", TEN, chain(step("s"))))
    start(driver, "f[0]/s")
    driver.take_over()
    assert driver.state.blocks["f"].waiting == 3
    start(driver, "f[1]/s")
    assert cells(driver) == 6
    finish(driver)


def test_a_foreach_that_is_stopped_starts_no_further_cells() -> None:
    driver = begun(for_each("f", TEN, chain(step("s"))))
    driver.tell(Cancel(path="f", reason="", requester="me"))
    assert (cells(driver), driver.state.blocks["f"].waiting) == (4, 0)
    assert driver.state.blocks["f"].status == t.CANCELLED


def test_cells_that_begin_anew_wait_for_runners_again() -> None:
    driver = begun(for_each("f", TEN, chain(step("s"))))
    driver.drain()
    driver.tell(Restart(path="f[3]", reason="", requester="me"))
    assert driver.state.blocks["f"].waiting == 1
    driver.tell(Cancel(path="", reason="", requester="me"))
    driver.tell(Restart(path="f", reason="", requester="me"))
    assert (cells(driver), driver.state.blocks["f"].waiting) == (4, 4)
    finish(driver)


def test_all_decisions_of_one_turn_together_start_no_more_cells_than_a_turn_may() -> None:
    driver = begun(for_each("f", TEN, chain(step("s"))))
    leases = [driver.lease(f"f[{number}]/s") for number in range(4)]
    ended = Succeeded(lease=leases[0], outputs={"out": "1"})
    turn = driver.context()
    decisions = [
        decide(driver.state, message, turn)
        for message in (*(Started(lease=lease) for lease in leases), ended)
    ]
    assert cells(driver) == 4 + 2
    asked = [
        action for each in decisions for action in each.actions if action == Continue(path="f")
    ]
    assert len(asked) == 1
    for each in decisions:
        driver.absorb(each)
    assert cells(driver) == 4 + 2 + 2
