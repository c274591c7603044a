"""Locks of blocks: taken before the start, given back with the end, and taken again by what is opened again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kaon_coordinator.engine.actions import ReleasePermits, RequestStep, TakePermits, Timer
from kaon_coordinator.engine.messages import (
    Cancel,
    Continued,
    Due,
    Pause,
    PermitsGranted,
    Restart,
    Resume,
    Retry,
    Start,
    Unprepared,
)
from kaon_coordinator.engine.rows.resume import derive
from kaon_coordinator.engine.state import transitions as t
from kaon_wire.definitions.validate import validate
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, for_each, literal, step, workflow
from .driver import Driver, failure

BY = {"reason": "because", "requester": "me"}


def held(block: d.Block, name: str = "hall", key: object = None, limit: int = 0) -> d.Block:
    """The block with a lock."""
    lock = block.locks.add(name=name, limit=limit)
    if key is not None:
        lock.key.CopyFrom(key if isinstance(key, d.Binding) else literal(key))
    return block


def group(*blocks: d.Block, name: str = "g", **fields: object) -> d.Block:
    return d.Block(name=name, group=d.Group(body=chain(*blocks)), **fields)  # type: ignore[arg-type]


def begun(*blocks: d.Block, fails: Callable[[], bool] = lambda: False) -> Driver:
    driver = Driver(
        workflow(chain(*blocks)),
        lambda each: failure() if each.block.name == "b" and fails() else {"out": 1},
    )
    driver.tell(Start())
    return driver


def grant(driver: Driver, path: str) -> None:
    driver.tell(PermitsGranted(path=path, asked=driver.question(path)))


def test_a_group_begins_with_its_locks_and_gives_them_back_with_its_end() -> None:
    driver = begun(held(group(step("a")), key="EU", limit=2), step("after"))
    assert driver.asked(TakePermits) == [
        TakePermits(path="g", asked=2, keys=("lock:hall/EU",), bounds={"lock:hall/EU": 2})
    ]
    assert driver.requested == []
    driver.take_over()
    driver.tell(Continued(path="g"))
    grant(driver, "g")
    assert driver.state.blocks["g"].locks == ("hall/EU",)
    assert driver.asked(ReleasePermits) == []
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert driver.asked(ReleasePermits)[0] == ReleasePermits(path="g")
    assert driver.state.blocks["g"].locks == ()
    driver.check_replay()


def test_each_cell_takes_the_lock_of_its_item_and_a_step_takes_tags_and_locks_together() -> None:
    inner = held(step("a"), key=d.Binding(item="item"))
    inner.step.tags.append("db")
    driver = begun(for_each("each", literal(["x", 1]), chain(inner)))
    assert {each.path: each.keys for each in driver.asked(TakePermits)} == {
        "each[x]/a": ("tag:db", "lock:hall/x"),
        "each[1]/a": ("tag:db", "lock:hall/1"),
    }
    grant(driver, "each[x]/a")
    assert driver.requested == ["each[x]/a"]


def test_what_is_opened_again_takes_its_locks_from_the_outside_in() -> None:
    fails = [True]
    inner = held(group(step("b"), name="h"), "room")
    driver = begun(held(group(inner), "hall"), fails=lambda: fails[0])
    grant(driver, "g")
    grant(driver, "g/h")
    driver.drain()
    assert driver.state.status == t.FAILED
    fails[0] = False
    driver.asked(TakePermits)
    driver.tell(Retry(path="", **BY))
    assert driver.state.blocks["g/h"].unlocked
    # Another run may have taken the outer one and wait for the inner one: whoever took the inner one first would wait for ever.
    assert [each.path for each in driver.asked(TakePermits)] == ["g"]
    driver.take_over()
    driver.tell(Continued(path="g/h"))
    assert driver.asked(TakePermits) == []
    driver.tell(Continued(path="g"))
    grant(driver, "g")
    assert [each.path for each in driver.asked(TakePermits)] == ["g", "g/h"]
    grant(driver, "g/h")
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


def test_what_is_opened_again_takes_its_locks_before_anything_in_it_goes_on() -> None:
    fails = [True]
    driver = begun(held(group(step("a"), step("b"), timeout_ms=60_000)), fails=lambda: fails[0])
    grant(driver, "g")
    driver.drain()
    assert driver.state.status == t.FAILED
    fails[0] = False
    driver.asked(TakePermits)
    driver.requested.clear()
    driver.tell(Retry(path="", **BY))
    assert driver.state.blocks["g"].unlocked
    assert [each.path for each in driver.asked(TakePermits)] == ["g"]
    assert driver.requested == []
    driver.take_over()
    assert "g" in {getattr(each, "path", "") for each in derive(driver.state)}
    # Its time does not count while it waits.
    due = driver.state.blocks["g"].since_us + 60_000_000
    driver.now_us = due
    assert driver.tell(Due(timer=Timer.TIMEOUT, path="g", due_us=due)).events == []
    driver.tell(Continued(path="g"))
    grant(driver, "g")
    assert not driver.state.blocks["g"].unlocked
    assert driver.requested == ["g/b"]
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


def test_a_block_that_waits_for_its_locks_can_be_stopped_before_and_after_a_retry() -> None:
    driver = begun(held(group(step("b"))), fails=lambda: True)
    driver.tell(Cancel(path="g", **BY))
    assert driver.state.blocks["g"].status == t.CANCELLED
    assert ReleasePermits(path="g") in driver.actions
    again = begun(held(group(step("b"))), fails=lambda: True)
    grant(again, "g")
    again.drain()
    again.tell(Retry(path="", **BY))
    again.asked(ReleasePermits)
    again.tell(Cancel(path="g", **BY))
    assert again.state.ended
    assert ReleasePermits(path="g") in again.asked(ReleasePermits)
    again.check_replay()


def test_a_grant_that_comes_while_the_run_is_paused_is_asked_for_again() -> None:
    driver = begun(held(group(step("a"))))
    question = driver.question("g")
    driver.tell(Pause(**BY))
    driver.tell(PermitsGranted(path="g", asked=question))
    assert driver.state.blocks["g"].status == t.PENDING
    driver.asked(TakePermits)
    driver.tell(Resume(**BY))
    assert [each.path for each in driver.asked(TakePermits)] == ["g"]
    grant(driver, "g")
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


@pytest.mark.parametrize("key", [None, "x" * 201, "a\nb"])
def test_what_is_no_key_fails_the_block_and_names_the_lock(key: object) -> None:
    lock = literal(key)
    for block in (held(group(step("a")), key=lock), held(step("g"), key=lock)):
        driver = begun(block)
        assert driver.state.status == t.FAILED
        assert driver.state.error is not None
        assert "the key of lock 'hall'" in driver.state.error.message


def test_a_lock_that_would_wait_for_the_runs_around_fails_its_block() -> None:
    for block in (held(group(step("a"))), held(step("g"))):
        driver = begun(block)
        refused = Unprepared(
            path="g", asked=driver.question("g"), kind="Deadlock", problem="run x holds it"
        )
        driver.tell(refused)
        assert driver.state.status == t.FAILED
        assert driver.state.error is not None
        assert driver.state.error.type == "Deadlock"


@pytest.mark.parametrize(
    ("outer", "inner", "problem"),
    [
        ("a", "b", ""),
        ("a", "a", "g, around it, holds a lock of the same name"),
        ("b", "a", "inner locks come after outer ones in the order of their names"),
        ("a", "A", "use lower-case letters"),
    ],
)
def test_inner_locks_come_after_outer_ones(outer: str, inner: str, problem: str) -> None:
    body = for_each("each", literal([1]), chain(held(step("s"), inner)))
    problems = validate(workflow(chain(held(group(body), outer))))
    assert bool(problems) == bool(problem)
    assert problem in "; ".join(problems)


def test_a_block_takes_one_lock_of_a_name() -> None:
    (problem, _) = validate(workflow(chain(held(held(step("s"), key=1), key=2))))
    assert "a block takes one lock of a name" in problem


def test_a_step_gives_its_locks_back_with_its_end() -> None:
    driver = begun(held(step("a")))
    grant(driver, "a")
    assert driver.asked(RequestStep) == [RequestStep(path="a")]
    driver.drain()
    assert ReleasePermits(path="a") in driver.actions


def hooked(block: d.Block) -> d.Block:
    block.phase = d.PHASE_FINALLY
    return block


@pytest.mark.parametrize("path", ["g/a", "g/hook"])
def test_a_group_that_waits_for_its_locks_again_ends_without_its_hooks_when_the_run_is_cancelled(
    path: str,
) -> None:
    """It would wait for ever: what ends takes no locks, and its hooks have run before."""
    block = held(group(step("a")))
    block.group.body.blocks.append(hooked(step("hook")))
    driver = begun(block)
    grant(driver, "g")
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    driver.tell(Restart(path=path, **BY))
    assert driver.state.blocks["g"].unlocked
    driver.take_over()
    driver.tell(Cancel(**BY))
    assert driver.state.status == t.CANCELLED
    assert driver.requested == []
    driver.check_replay()
