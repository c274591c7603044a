from __future__ import annotations

import pytest

from kaon_coordinator.engine.actions import RevokeReason
from kaon_coordinator.engine.issue import StepIssue
from kaon_coordinator.engine.messages import (
    AttemptTimedOut,
    Cancel,
    Failed,
    HandedBack,
    LeaseExpired,
    Start,
    Started,
    Succeeded,
)
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import StepState
from kaon_wire import canonical
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import branch, chain, fan, for_each, literal, output, repeat, step, workflow
from .driver import Driver, failure


def answer(value: object):  # type: ignore[no-untyped-def]
    return lambda _: {"out": value}


def outputs_of(driver: Driver, path: str) -> object:
    return canonical.loads(driver.state.steps[path].outputs["out"])


def inputs_of(driver: Driver, path: str, name: str) -> object:
    return canonical.loads(driver.state.steps[path].inputs[name])


def test_a_chain_runs_in_order_and_hands_values_on() -> None:
    driver = Driver(workflow(chain(step("a"), step("b", x=output("a")))), answer(7))
    assert driver.run().status == t.SUCCEEDED
    assert inputs_of(driver, "b", "x") == 7
    driver.check_replay()


def test_a_foreach_runs_each_item_and_joins_in_item_order() -> None:
    body = chain(step("train", region=d.Binding(item="item")))
    definition = workflow(
        chain(
            step("split"),
            for_each("regions", output("split"), body, at_once=2),
            step("join", all=output("train")),
        )
    )

    def behave(state: StepState) -> dict[str, object]:
        if state.block.name == "split":
            return {"out": ["z", "y", "x"]}
        return {"out": state.inputs.get("region", "none").strip('"') + "!"}

    driver = Driver(definition, behave, seed=3)
    assert driver.run().status == t.SUCCEEDED
    assert inputs_of(driver, "join", "all") == ["z!", "y!", "x!"]
    assert "regions[y]/train" in driver.state.steps
    driver.check_replay()


def test_no_more_cells_run_at_once_than_max_concurrency() -> None:
    definition = workflow(chain(for_each("f", literal([1, 2, 3, 4]), chain(step("s")), at_once=2)))
    driver = Driver(definition, answer(0))
    driver.tell(Start())
    assert len(driver.requested) == 2
    driver.execute(driver.take())
    assert len(driver.requested) == 2


def test_an_empty_foreach_succeeds_with_an_empty_result() -> None:
    definition = workflow(
        chain(for_each("f", literal([]), chain(step("s"))), step("after", all=output("s")))
    )
    driver = Driver(definition, answer(0))
    assert driver.run().status == t.SUCCEEDED
    assert inputs_of(driver, "after", "all") == []


def test_a_failed_cell_stops_the_others() -> None:
    definition = workflow(chain(for_each("f", literal([1, 2, 3]), chain(step("s"))), step("after")))
    driver = Driver(definition, lambda s: failure() if s.path == "f[2]/s" else {"out": 1})
    driver.tell(Start())
    driver.tell(Started(lease=driver.lease("f[1]/s")))
    driver.execute("f[2]/s")
    assert driver.state.steps["f[1]/s"].status == t.CANCELLING
    assert driver.state.steps["f[3]/s"].status == t.CANCELLED
    driver.drain()
    assert driver.state.status == t.FAILED
    assert driver.state.steps["after"].status == t.SKIPPED
    driver.check_replay()


def test_tolerated_failures_leave_a_gap_in_the_result() -> None:
    definition = workflow(
        chain(
            for_each("f", literal([1, 2, 3]), chain(step("s")), tolerate=1),
            step("after", all=output("s")),
        )
    )
    driver = Driver(definition, lambda s: failure() if s.path == "f[2]/s" else {"out": 1})
    assert driver.run().status == t.SUCCEEDED
    assert inputs_of(driver, "after", "all") == [1, None, 1]
    driver.check_replay()


def last(name: str, fallback: object) -> d.Binding:
    reference = d.OutputReference(step=name, output="out")
    return d.Binding(last=d.LastReference(output=reference, fallback=literal(fallback)))


def test_a_repeat_goes_on_until_its_condition_holds_and_each_pass_knows_the_last_result() -> None:
    body = chain(step("work", before=last("work", 0)), step("check", x=output("work")))
    definition = workflow(
        chain(repeat("cycle", body, output("check")), step("after", x=output("work")))
    )

    def behave(state: StepState) -> dict[str, object]:
        if state.block.name == "work":
            return {"out": canonical.loads(state.inputs["before"]) + 1}
        return {"out": state.inputs.get("x") == "3"}

    driver = Driver(definition, behave)
    assert driver.run().status == t.SUCCEEDED
    assert inputs_of(driver, "after", "x") == 3
    assert outputs_of(driver, "cycle#3/work") == 3
    driver.check_replay()


def test_an_exhausted_repeat_fails_the_run_with_the_reason() -> None:
    driver = Driver(
        workflow(chain(repeat("cycle", chain(step("s")), output("s"), 2))), answer(False)
    )
    state = driver.run()
    assert state.status == t.FAILED
    assert state.error is not None
    assert state.error.type == "RepeatExhausted"
    assert "after 2 iterations" in state.error.message


def test_an_exhausted_repeat_may_be_accepted() -> None:
    body = repeat("cycle", chain(step("s")), output("s"), 2, accept=True)
    driver = Driver(workflow(chain(body)), answer(False))
    assert driver.run().status == t.SUCCEEDED


def test_a_condition_that_is_no_bool_fails_the_run() -> None:
    driver = Driver(workflow(chain(repeat("cycle", chain(step("s")), output("s")))), answer("yes"))
    state = driver.run()
    assert state.status == t.FAILED
    assert state.error is not None
    assert "true or false" in state.error.message


@pytest.mark.parametrize("taken", [True, False])
def test_a_branch_takes_one_way_and_the_other_gives_null(taken: bool) -> None:
    definition = workflow(
        chain(
            branch("choose", literal(taken), chain(step("yes")), chain(step("no"))),
            step("after", yes=output("yes"), no=output("no")),
        )
    )
    driver = Driver(definition, answer(1))
    assert driver.run().status == t.SUCCEEDED
    assert inputs_of(driver, "after", "yes") == (1 if taken else None)
    assert inputs_of(driver, "after", "no") == (None if taken else 1)
    driver.check_replay()


def test_a_branch_without_a_way_is_skipped_and_what_follows_runs() -> None:
    definition = workflow(
        chain(branch("choose", literal(False), chain(step("yes"))), step("after"))
    )
    driver = Driver(definition, answer(1))
    assert driver.run().status == t.SUCCEEDED
    assert driver.state.blocks["choose"].status == t.SKIPPED


def test_a_failed_attempt_is_retried_after_its_backoff() -> None:
    attempts: list[int] = []

    def behave(state: StepState):  # type: ignore[no-untyped-def]
        attempts.append(state.attempt)
        return {"out": 1} if state.attempt == 3 else failure()

    driver = Driver(workflow(chain(step("s", attempts=3))), behave)
    assert driver.run().status == t.SUCCEEDED
    assert attempts == [1, 2, 3]
    waits = [
        e.step_retry_scheduled.retry_time_us - e.time_us
        for e in driver.history
        if e.HasField("step_retry_scheduled")
    ]
    assert waits == [1_000_000, 2_000_000]
    driver.check_replay()


def test_platform_failures_use_up_no_attempt_but_end_at_their_bound() -> None:
    attempts: list[int] = []

    def behave(state: StepState):  # type: ignore[no-untyped-def]
        attempts.append(state.attempt)
        return failure(platform=True)

    driver = Driver(workflow(chain(step("s"))), behave)
    assert driver.run().status == t.FAILED
    assert attempts == [1] * 6


def test_wrong_outputs_fail_the_step_and_name_the_difference() -> None:
    driver = Driver(workflow(chain(step("s"))), lambda _: {"other": 1})
    state = driver.run()
    assert state.status == t.FAILED
    assert state.error is not None
    assert "missing ['out'], not declared ['other']" in state.error.message


def test_the_first_report_makes_its_runner_the_holder_and_others_are_revoked() -> None:
    driver = Driver(workflow(chain(step("s"))), answer(1))
    driver.tell(Start())
    driver.tell(Started(lease=driver.lease("s", "a")))
    stale = driver.tell(Started(lease=driver.lease("s", "b")))
    assert [(r.incarnation, r.reason) for r in driver.revoked] == [("b", RevokeReason.STALE_LEASE)]
    assert stale.stale == 1
    assert driver.tell(Succeeded(lease=driver.lease("s", "b"), outputs={"out": "9"})).events == []
    driver.tell(Succeeded(lease=driver.lease("s", "a"), outputs={"out": "1"}))
    assert outputs_of(driver, "s") == 1


def test_a_result_whose_started_was_lost_is_accepted() -> None:
    driver = Driver(workflow(chain(step("s"))), answer(1))
    driver.tell(Start())
    driver.tell(Succeeded(lease=driver.lease("s"), outputs={"out": "1"}))
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


def test_a_doubled_result_changes_nothing() -> None:
    driver = Driver(workflow(chain(step("s"), step("b"))), answer(1))
    driver.tell(Start())
    lease = driver.lease("s")
    driver.tell(Succeeded(lease=lease, outputs={"out": "1"}))
    doubled = driver.tell(Succeeded(lease=lease, outputs={"out": "2"}))
    assert doubled.events == []
    assert outputs_of(driver, "s") == 1


def test_an_expired_lease_gives_a_new_generation_and_the_old_holders_result_counts_no_more() -> (
    None
):
    driver = Driver(workflow(chain(step("s"))), answer(1))
    driver.tell(Start())
    old = driver.lease("s", "a")
    driver.tell(Started(lease=old))
    driver.tell(LeaseExpired(issue=StepIssue(path="s", attempt=1, generation=1)))
    assert driver.state.steps["s"].generation == 2
    assert driver.state.steps["s"].attempt == 1
    assert driver.tell(Succeeded(lease=old, outputs={"out": "9"})).events == []
    driver.tell(Succeeded(lease=driver.lease("s", "b"), outputs={"out": "1"}))
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


def test_a_step_that_loses_three_runners_is_quarantined() -> None:
    driver = Driver(workflow(chain(step("s"))), answer(1))
    driver.tell(Start())
    for generation in (1, 2, 3):
        driver.tell(Started(lease=driver.lease("s", f"r{generation}")))
        driver.tell(LeaseExpired(issue=StepIssue(path="s", attempt=1, generation=generation)))
    assert driver.state.steps["s"].status == t.QUARANTINED
    assert driver.state.status == t.FAILED


def test_a_release_that_is_handed_back_is_requested_again() -> None:
    driver = Driver(workflow(chain(step("s"))), answer(1))
    driver.tell(Start())
    driver.tell(HandedBack(lease=driver.lease("s"), reason="draining"))
    assert driver.state.steps["s"].generation == 2
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


def test_cancel_waits_until_nothing_of_the_run_is_left() -> None:
    driver = Driver(workflow(chain(fan(step("a"), step("b")).blocks[0], step("c"))), answer(1))
    driver.tell(Start())
    driver.tell(Started(lease=driver.lease("a")))
    driver.tell(Cancel(reason="enough", requester="me"))
    assert driver.state.status == t.CANCELLING
    driver.drain()
    assert driver.state.status == t.CANCELLED
    assert driver.state.steps["c"].status == t.SKIPPED
    driver.check_replay()


def test_cancel_of_a_run_that_has_not_started_ends_it() -> None:
    driver = Driver(workflow(chain(step("a"))), answer(1))
    driver.tell(Cancel(reason="", requester="me"))
    assert driver.state.status == t.CANCELLED
    assert driver.tell(Start()).events == []


def test_an_attempt_that_takes_too_long_times_out() -> None:
    driver = Driver(workflow(chain(step("s", timeout_ms=100))), answer(1))
    driver.tell(Start())
    driver.tell(Started(lease=driver.lease("s")))
    driver.tell(AttemptTimedOut(issue=StepIssue(path="s", attempt=1, generation=1)))
    assert driver.revoked[0].reason == RevokeReason.TIMED_OUT
    driver.drain()
    assert driver.state.steps["s"].status == t.TIMED_OUT
    assert driver.state.status == t.FAILED


def test_a_failure_that_races_with_a_cancel_is_a_cancel() -> None:
    driver = Driver(workflow(chain(step("s", attempts=5))), answer(1))
    driver.tell(Start())
    driver.tell(Started(lease=driver.lease("s")))
    driver.tell(Cancel(reason="", requester="me"))
    driver.tell(Failed(lease=driver.lease("s"), error=failure()))
    assert driver.state.status == t.CANCELLED
