"""What a run is told about itself: recorded when it is submitted, and the same for ever."""

from __future__ import annotations

from typing import Any

import pytest

from kaon_coordinator import expressions
from kaon_coordinator.engine.messages import Retry
from kaon_coordinator.engine.rows.codec import occasion_of, run_row
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.run_info import may_use_run_info
from kaon_coordinator.engine.state.state import StepState
from kaon_wire import canonical
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import branch, chain, step, workflow
from .driver import Driver, failure
from .test_forks import finish, fork

INFO = d.Binding(run_info=d.RunInfo())
DAY_US = 86_400_000_000
MIDNIGHT_US = 1_767_225_600_000_000
PREVIOUS = run_pb2.PreviousRun(
    run_id="r0", end_time_us=MIDNIGHT_US - 1, scheduled_time_us=MIDNIGHT_US - DAY_US
)
TOLD = {"id": "r0", "end_time": "2025-12-31T23:59:59.999999Z"}


def run(behaviour: Any = lambda _: {"out": 1}, **submission: Any) -> Driver:
    is_first = d.Expression(cel="i.previous_success == null", variables={"i": INFO})
    which = branch(
        "which",
        d.Binding(expression=is_first),
        chain(step("from-the-beginning")),
        chain(step("what-is-new", info=INFO)),
    )
    return Driver(
        workflow(chain(step("a", info=INFO), which)),
        behaviour,
        evaluate=expressions.evaluate,
        submission=history_pb2.RunSubmitted(**submission),
    )


def told(driver: Driver, path: str = "a") -> dict[str, Any]:
    value: dict[str, Any] = canonical.loads(driver.state.steps[path].inputs["info"])
    return value


def test_a_run_that_somebody_submits_for_the_first_time_has_no_time_and_no_predecessor() -> None:
    driver = run()
    driver.run()
    info = told(driver)
    assert (info["origin"], info["scheduled_time"], info["previous_success"]) == ("", None, None)
    assert driver.state.steps["which=0/from-the-beginning"].status == t.SUCCEEDED
    assert occasion_of(run_row(driver.state)) == (0, None)


@pytest.mark.parametrize(
    ("scheduled_us", "scheduled"), [(MIDNIGHT_US - DAY_US, "2025-12-31T00:00:00Z"), (0, None)]
)
def test_origin_time_and_last_success_outlive_owners_retries_and_forks(
    scheduled_us: int, scheduled: str | None
) -> None:
    attempts = []

    def behaviour(state: StepState) -> dict[str, object] | step_pb2.StepError:
        attempts.append(state.path)
        return failure() if attempts == ["a", "which=else/what-is-new"] else {"out": 1}

    previous = run_pb2.PreviousRun(
        run_id="r0", end_time_us=PREVIOUS.end_time_us, scheduled_time_us=scheduled_us
    )
    driver = run(
        behaviour,
        origin="schedule:nightly",
        scheduled_time_us=MIDNIGHT_US,
        previous_success=previous,
    )
    driver.run()
    driver.take_over()
    assert driver.state.status == t.FAILED
    assert attempts == ["a", "which=else/what-is-new"]
    first = told(driver)
    assert (first["origin"], first["scheduled_time"]) == (
        "schedule:nightly",
        "2026-01-01T00:00:00Z",
    )
    assert first["previous_success"] == {**TOLD, "scheduled_time": scheduled}
    driver.tell(Retry(path="", reason="", requester=""))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert told(driver, "which=else/what-is-new") == first
    driver.check_replay()
    assert occasion_of(run_row(driver.state)) == (MIDNIGHT_US, previous)

    forked = fork(driver, reset=("which=else/what-is-new",))
    forked.evaluate = expressions.evaluate
    finish(forked)
    again = told(forked, "which=else/what-is-new")
    for name in ("scheduled_time", "previous_success"):
        assert again[name] == first[name]


def test_a_workflow_that_does_not_use_it_is_told_apart() -> None:
    plain = workflow(chain(step("a"), step("b")))
    assert not may_use_run_info(plain)
    assert may_use_run_info(run().definition)
    inside = d.Binding(map=d.BindingMap(bindings={"x": INFO}))
    computed = d.Parameter(name="p", type=d.VALUE_TYPE_MAP, computed=inside)
    plain.parameters.append(computed)
    assert may_use_run_info(plain)
