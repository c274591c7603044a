"""Foreaches and repeats: their edges."""

from __future__ import annotations

import pytest

from kaon_coordinator.engine.actions import Continue, ReadItems, Timer
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.messages import (
    Cancel,
    ItemsRead,
    Pause,
    Restart,
    Resume,
    Retry,
    Start,
    Unprepared,
)
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import StepState
from kaon_wire import canonical
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, for_each, literal, output, repeat, step, workflow
from .driver import Driver, failure

ARTIFACT = literal({"artifact": {"uri": "file:///items", "digest": "sha256:1"}})


def works(_: object) -> dict[str, object]:
    return {"out": 1}


def failing(*paths: str):  # type: ignore[no-untyped-def]
    """Steps at these paths fail, each once; the others give their paths."""
    left = set(paths)

    def behave(state: StepState):  # type: ignore[no-untyped-def]
        if state.path in left:
            left.remove(state.path)
            return failure()
        return {"out": state.path}

    return behave


def statuses(driver: Driver) -> dict[str, str]:
    return {path: t.short(step_.status) for path, step_ in driver.state.steps.items()}


def joined(driver: Driver, path: str = "after") -> object:
    return canonical.loads(driver.state.steps[path].inputs["all"])


def test_items_of_an_artifact_are_asked_for_and_read_only_once() -> None:
    driver = Driver(workflow(chain(for_each("f", ARTIFACT, chain(step("s"))))), works)
    driver.tell(Start())
    (asked,) = driver.asked(ReadItems)
    assert canonical.loads(asked.artifact_json)["artifact"]["digest"] == "sha256:1"
    driver.tell(ItemsRead(path="f", asked=driver.question("f"), items=('"x"', '"y"')))
    assert (
        driver.tell(ItemsRead(path="f", asked=driver.question("f"), items=('"x"', '"y"'))).events
        == []
    )
    driver.drain()
    assert statuses(driver) == {"f[x]/s": "SUCCEEDED", "f[y]/s": "SUCCEEDED"}
    driver.check_replay()


def test_an_empty_artifact_gives_an_empty_result() -> None:
    body = chain(for_each("f", ARTIFACT, chain(step("s"))), step("after", all=output("s")))
    driver = Driver(workflow(body), works)
    driver.tell(Start())
    driver.tell(ItemsRead(path="f", asked=driver.question("f"), items=()))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert joined(driver) == []


def test_an_artifact_that_cannot_be_read_fails_the_foreach_with_the_reason() -> None:
    driver = Driver(workflow(chain(for_each("f", ARTIFACT, chain(step("s"))))), works)
    driver.tell(Start())
    driver.tell(
        Unprepared(
            path="f", asked=driver.question("f"), kind="BindingError", problem="line 3 is not JSON"
        )
    )
    assert driver.state.status == t.FAILED
    assert driver.state.error is not None
    assert driver.state.error.message == "f: line 3 is not JSON"


def test_a_new_owner_reads_the_items_again_that_have_not_been_started() -> None:
    driver = Driver(workflow(chain(for_each("f", ARTIFACT, chain(step("s")), at_once=1))), works)
    driver.tell(Start())
    items = ('"x"', '"y"', '"z"')
    driver.tell(ItemsRead(path="f", asked=driver.question("f"), items=items))
    driver.take_over()
    driver.asked(ReadItems)
    driver.execute("f[x]/s")
    assert len(driver.asked(ReadItems)) == 1
    driver.tell(ItemsRead(path="f", asked=driver.question("f"), items=items))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert list(driver.state.steps) == ["f[x]/s", "f[y]/s", "f[z]/s"]


def test_items_that_have_changed_since_the_beginning_fail_the_foreach() -> None:
    driver = Driver(workflow(chain(for_each("f", ARTIFACT, chain(step("s")), at_once=1))), works)
    driver.tell(Start())
    driver.tell(ItemsRead(path="f", asked=driver.question("f"), items=("1", "2")))
    driver.take_over()
    driver.execute("f[1]/s")
    driver.tell(ItemsRead(path="f", asked=driver.question("f"), items=("1", "3")))
    driver.drain()
    assert driver.state.blocks["f"].status == t.FAILED
    assert driver.state.status == t.FAILED


def test_a_foreach_of_many_items_is_started_over_several_decisions() -> None:
    driver = Driver(
        workflow(chain(for_each("f", literal(list(range(7))), chain(step("s"))))), works
    )
    driver.limits = Limits(cells_per_turn=3)
    driver.run()
    assert len(driver.asked(Continue)) == 2
    assert len(driver.state.steps) == 7
    assert driver.state.status == t.SUCCEEDED


def test_no_more_cells_are_open_than_the_limit_says_whatever_the_foreach_asks_for() -> None:
    driver = Driver(
        workflow(chain(for_each("f", literal(list(range(7))), chain(step("s"))))), works
    )
    driver.limits = Limits(open_cells=2)
    driver.tell(Start())
    assert len(driver.requested) == 2
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


@pytest.mark.parametrize(
    ("percent", "fails", "status"), [(50, 2, "SUCCEEDED"), (50, 3, "FAILED"), (0, 1, "FAILED")]
)
def test_a_share_of_the_cells_may_fail(percent: float, fails: int, status: str) -> None:
    block = for_each("f", literal([1, 2, 3, 4]), chain(step("s")))
    block.for_each.failure.percent = percent
    driver = Driver(workflow(chain(block)), failing(*(f"f[{n}]/s" for n in range(1, fails + 1))))
    assert t.short(driver.run().status) == status
    driver.check_replay()


def test_one_failed_cell_is_run_again_and_the_join_with_it() -> None:
    body = chain(
        for_each("f", literal(["x", "y"]), chain(step("s")), tolerate=1),
        step("after", all=output("s")),
    )
    driver = Driver(workflow(body), failing("f[y]/s"))
    driver.run()
    assert joined(driver) == ["f[x]/s", None]
    driver.tell(Retry(path="f[y]", reason="", requester="me"))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert joined(driver) == ["f[x]/s", "f[y]/s"]
    driver.check_replay()
    driver.take_over()


def test_one_cell_is_skipped_and_keeps_its_place_in_the_result() -> None:
    body = chain(
        for_each("f", literal(["x", "y"]), chain(step("s"))), step("after", all=output("s"))
    )
    driver = Driver(workflow(body), works)
    driver.tell(Start())
    driver.tell(Cancel(path="f[x]", reason="", requester="me", skip=True))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert joined(driver) == [None, 1]


def test_one_cell_that_is_cancelled_counts_as_failed() -> None:
    driver = Driver(workflow(chain(for_each("f", literal(["x", "y"]), chain(step("s"))))), works)
    driver.tell(Start())
    driver.tell(Cancel(path="f[x]", reason="", requester="me"))
    driver.drain()
    assert driver.state.status == t.FAILED
    assert statuses(driver)["f[y]/s"] == "CANCELLED"


def test_a_cell_that_is_cancelled_may_be_one_of_those_that_are_tolerated() -> None:
    block = for_each("f", literal(["x", "y"]), chain(step("s")), tolerate=1)
    driver = Driver(workflow(chain(block)), works)
    driver.tell(Start())
    driver.tell(Cancel(path="f[x]", reason="", requester="me"))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


def test_cells_that_wait_are_not_started_after_too_many_have_failed() -> None:
    block = for_each("f", literal([1, 2, 3]), chain(step("s")), at_once=1)
    driver = Driver(workflow(chain(block)), failing("f[1]/s"))
    driver.run()
    assert list(driver.state.steps) == ["f[1]/s"]
    driver.tell(Retry(path="", reason="", requester="me"))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert len(driver.state.steps) == 3


def test_foreaches_in_foreaches_join_to_lists_of_lists() -> None:
    inner = for_each("g", literal([1, 2]), chain(step("s")), item="j")
    body = chain(
        for_each("f", literal(["x", "y"]), chain(inner), item="i"), step("after", all=output("s"))
    )
    driver = Driver(workflow(body), failing())
    driver.run()
    assert joined(driver) == [
        ["f[x]/g[1]/s", "f[x]/g[2]/s"],
        ["f[y]/g[1]/s", "f[y]/g[2]/s"],
    ]


def test_each_cell_loops_on_its_own() -> None:
    """Cell x is done after one pass, cell y after three; nobody waits for the other."""
    body = chain(step("s", item=d.Binding(item="item")))
    cycle = repeat("r", body, output("s"), 3, accept=True)
    driver = Driver(
        workflow(chain(for_each("f", literal(["x", "y"]), chain(cycle)))),
        lambda s: {"out": "x" in s.path},
    )
    assert driver.run().status == t.SUCCEEDED
    assert set(driver.state.steps) == {
        "f[x]/r#1/s",
        *(f"f[y]/r#{number}/s" for number in (1, 2, 3)),
    }
    driver.check_replay()


def test_passes_wait_longer_and_longer_and_never_longer_than_the_longest_wait() -> None:
    block = repeat("r", chain(step("s")), output("s"), 5, accept=True)
    block.repeat.backoff_ms, block.repeat.backoff_factor, block.repeat.max_backoff_ms = 100, 3, 500
    driver = Driver(workflow(chain(block)), lambda _: {"out": False})
    driver.run()
    waits = [
        e.pass_scheduled.due_us - e.time_us for e in driver.history if e.HasField("pass_scheduled")
    ]
    assert waits == [100_000, 300_000, 500_000, 500_000]
    driver.check_replay()


def test_a_pass_that_is_due_during_a_pause_begins_with_its_end() -> None:
    block = repeat("r", chain(step("s")), output("s"), 2, accept=True)
    block.repeat.backoff_ms = 100
    driver = Driver(workflow(chain(block)), lambda _: {"out": False})
    driver.tell(Start())
    driver.execute(driver.take())
    driver.tell(Pause(reason="", requester="me"))
    assert driver.let_time_pass(Timer.ITERATION, "r").events == []
    driver.take_over()
    driver.tell(Resume(reason="", requester="me"))
    assert driver.requested == ["r#2/s"]


def test_a_condition_that_is_neither_true_nor_false_fails_the_repeat_and_shows_it() -> None:
    driver = Driver(
        workflow(chain(repeat("r", chain(step("s")), output("s")))), lambda _: {"out": 3}
    )
    driver.run()
    assert driver.state.error is not None
    assert "r: a condition must be true or false, not 3" in driver.state.error.message


def test_a_failed_pass_fails_the_repeat_and_is_run_again_by_a_retry() -> None:
    block = repeat("r", chain(step("s")), output("s"), 2, accept=True)
    fails = failing("r#2/s")
    driver = Driver(
        workflow(chain(block)), lambda s: fails(s) if s.path == "r#2/s" else {"out": False}
    )
    driver.run()
    assert driver.state.status == t.FAILED
    driver.behaviour = lambda _: {"out": False}
    driver.tell(Retry(path="", reason="", requester="me"))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


def test_a_restart_in_an_early_pass_drops_the_passes_after_it_and_uses_no_generation_twice() -> (
    None
):
    seen: list[tuple[str, int]] = []

    def behave(state: StepState) -> dict[str, object]:
        seen.append((state.path, state.generation))
        return {"out": False}

    driver = Driver(
        workflow(chain(repeat("r", chain(step("s")), output("s"), 3, accept=True))), behave
    )
    driver.run()
    driver.tell(Restart(path="r#1/s", reason="", requester="me"))
    assert set(driver.state.steps) == {"r#1/s"}
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert len(seen) == len(set(seen)) == 6
    driver.check_replay()
    driver.take_over()
