"""Sweeps: the points of a search space, and which cells are stopped early."""

from __future__ import annotations

import math

import pytest

from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.kinds import sweeps
from kaon_coordinator.engine.messages import Reported, Retry, Start, Started, Stopped
from kaon_coordinator.engine.state import transitions as t
from kaon_wire import canonical
from kaon_wire.definitions.validate import validate
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, for_each, literal, output, step, workflow
from .driver import Driver


def works(_: object) -> dict[str, object]:
    return {"out": 1}


def swept(
    sweep: d.Sweep | None = None, rule: d.EarlyStopping | None = None, at_once: int = 0
) -> d.Block:
    block = for_each(
        "f", literal(list("abcdef")), chain(step("s", x=d.Binding(item="item"))), at_once=at_once
    )
    if sweep is not None:
        block.for_each.ClearField("items")
        block.for_each.sweep.CopyFrom(sweep)
    if rule is not None:
        block.for_each.early_stopping.CopyFrom(rule)
    return block


def points(sweep: d.Sweep) -> list[object]:
    driver = Driver(workflow(chain(swept(sweep))), works)
    driver.run()
    driver.check_replay()
    return [canonical.loads(step_.inputs["x"]) for step_ in driver.state.steps.values()]


def sample(seed: int, count: int = 50) -> d.Sweep:
    axes = {
        "rate": d.Distribution(log_uniform=d.Range(low=1e-5, high=1e-1)),
        "drop": d.Distribution(uniform=d.Range(low=0.1, high=0.5)),
        "depth": d.Distribution(integer=d.Range(low=1, high=3)),
        "kind": d.Distribution(choice=literal(["x", "y"])),
    }
    return d.Sweep(random=d.RandomSample(axes=axes, count=count, seed=seed))


def test_a_grid_has_all_combinations_the_last_axis_changing_fastest() -> None:
    grid = d.Grid(axes={"b": literal([3, 4]), "a": literal([1, 2])})
    assert points(d.Sweep(grid=grid)) == [
        {"a": 1, "b": 3},
        {"a": 1, "b": 4},
        {"a": 2, "b": 3},
        {"a": 2, "b": 4},
    ]


def test_a_grid_beyond_the_limit_fails_and_names_it_without_making_its_points() -> None:
    axes = {name: literal(list(range(1_000))) for name in "abcd"}
    driver = Driver(workflow(chain(swept(d.Sweep(grid=d.Grid(axes=axes))))), works)
    driver.run()
    assert driver.state.error is not None
    assert (
        "a grid has 1000000000000 points; the limit foreach_items is 100000"
        in driver.state.error.message
    )


def test_the_same_seed_draws_the_same_points_and_another_seed_others() -> None:
    drawn = points(sample(1))
    assert drawn == points(sample(1)) != points(sample(2))
    assert drawn[:5] == points(sample(1, count=5))


def test_points_lie_in_their_ranges() -> None:
    for point in points(sample(3)):
        assert isinstance(point, dict)
        assert 1e-5 <= point["rate"] <= 1e-1
        assert 0.1 <= point["drop"] <= 0.5
        assert point["depth"] in (1, 2, 3)
        assert point["kind"] in ("x", "y")


def test_an_axis_without_values_fails_the_foreach_and_is_named() -> None:
    driver = Driver(workflow(chain(swept(d.Sweep(grid=d.Grid(axes={"a": literal([])}))))), works)
    driver.run()
    assert driver.state.error is not None
    assert "axis 'a' needs a list of values, not []" in driver.state.error.message


MEDIAN = d.EarlyStopping(metric="loss", median=d.MedianRule(min_cells=3))
HALVING = d.EarlyStopping(metric="loss", halving=d.SuccessiveHalving(min_step=1, eta=2))


def running(rule: d.EarlyStopping, at_once: int = 0) -> Driver:
    driver = Driver(
        workflow(chain(swept(rule=rule, at_once=at_once), step("after", x=output("s")))), works
    )
    driver.tell(Start())
    for path in list(driver.requested):
        driver.tell(Started(lease=driver.lease(path)))
    driver.requested.clear()
    return driver


def report(driver: Driver, cell: str, value: float, at: int = 1, name: str = "loss") -> bool:
    """Reports a value and says whether the cell is stopped."""
    path = f"f[{cell}]/s"
    metric = step_pb2.StepMetric(name=name, value=value, step=at)
    driver.tell(Reported(lease=driver.lease(path), metric=metric))
    return driver.state.steps[path].status == t.CANCELLING


def test_a_cell_worse_than_the_median_of_enough_others_is_stopped_and_counts_as_no_failure() -> (
    None
):
    driver = running(MEDIAN)
    assert not report(driver, "a", 9.0)
    assert not any(report(driver, cell, 1.0) for cell in "bcd")
    assert report(driver, "e", 5.0)
    assert driver.state.scopes["f[e]"].stop == t.SKIPPED
    driver.tell(Stopped(lease=driver.lease("f[e]/s")))
    assert driver.state.scopes["f[e]"].status == t.SKIPPED
    assert driver.state.blocks["f"].status == t.RUNNING
    (stop,) = [e.block_stop_requested for e in driver.history if e.HasField("block_stop_requested")]
    assert stop.cause == "early_stopping"
    assert stop.reason == "loss at step 1: best 5 is worse than the median 1 of 4 others"
    driver.check_replay()
    driver.take_over()


def test_a_first_epoch_may_be_0_and_without_one_the_reports_are_counted() -> None:
    driver = running(MEDIAN)
    lease = driver.lease("f[a]/s")
    for given in ({"step": 0, "step_given": True}, {"step": 1, "step_given": True}, {}):
        metric = step_pb2.StepMetric(name="loss", value=1.0, **given)
        driver.tell(Reported(lease=lease, metric=metric))
    told = [e.step_reported.metric.step for e in driver.history if e.HasField("step_reported")]
    assert told == [0, 1, 3]
    driver.check_replay()


def test_a_metric_that_should_be_large_is_judged_the_other_way_round() -> None:
    rule = d.EarlyStopping()
    rule.CopyFrom(MEDIAN)
    rule.goal = d.GOAL_MAXIMIZE
    driver = running(rule)
    assert not any(report(driver, cell, 1.0) for cell in "abc")
    assert not report(driver, "d", 5.0)
    assert report(driver, "e", 0.5)


def test_another_metric_stops_nothing() -> None:
    driver = running(MEDIAN)
    assert not any(report(driver, cell, 1.0) for cell in "abcd")
    assert not report(driver, "e", 9.0, name="accuracy")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("rule", [MEDIAN, HALVING])
def test_what_is_no_number_is_kept_and_no_rule_counts_it(
    rule: d.EarlyStopping, value: float
) -> None:
    driver = running(rule, at_once=6)
    assert not report(driver, "a", value)
    assert not report(driver, "b", 1.0)
    assert not any(report(driver, cell, 1.0) for cell in "cd")
    assert not report(driver, "e", value)
    assert str(driver.state.steps["f[e]/s"].metrics["loss"]) == str(value)
    driver.take_over()
    assert report(driver, "f", 9.0)


def test_halving_decides_at_once_among_those_that_have_reached_the_rung() -> None:
    """Nobody waits: the first to come goes on although the others have not started."""
    driver = running(HALVING, at_once=2)
    assert not report(driver, "a", 5.0, at=1)
    assert report(driver, "b", 6.0, at=1)
    # Between rungs nothing is decided; at the next rung only those count that have come there.
    assert not report(driver, "a", 99.0, at=3)
    assert not report(driver, "a", 98.0, at=4)


def test_a_new_owner_judges_by_the_reports_that_came_before() -> None:
    driver = running(MEDIAN)
    assert not any(report(driver, cell, 1.0) for cell in "abcd")
    driver.take_over()
    assert report(driver, "e", 9.0)


def test_a_cell_that_begins_anew_has_not_reported_yet() -> None:
    driver = running(MEDIAN)
    assert not any(report(driver, cell, 1.0) for cell in "abcd")
    assert report(driver, "e", 9.0)
    driver.drain()
    driver.behaviour = works
    for cell in "abcdf":
        driver.execute(f"f[{cell}]/s")
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert canonical.loads(driver.state.steps["after"].inputs["x"]) == [1, 1, 1, 1, None, 1]
    driver.tell(Retry(path="f[e]", reason="", requester="me"))
    curves = driver.state.blocks["f"].curves
    assert curves is not None
    assert 4 not in curves.reports


@pytest.mark.parametrize("cells", [2, 50])
def test_a_random_sample_beyond_the_limit_is_told_at_registration(cells: int) -> None:
    found = validate(workflow(chain(swept(sample(1, cells)))), Limits(foreach_items=10))
    assert bool(found) == (cells > 10)


def one_axis(**axis: d.Range) -> d.WorkflowDefinition:
    """A random sample of one axis."""
    each = for_each("f", literal([]), chain(step("s")))
    each.for_each.ClearField("items")
    each.for_each.sweep.random.count = 3
    each.for_each.sweep.random.axes["a"].CopyFrom(d.Distribution(**axis))  # type: ignore[arg-type]
    return workflow(chain(each))


WIDEST = d.Range(low=-1.7e308, high=1.7e308)


@pytest.mark.parametrize("kind", ["uniform", "integer"])
def test_a_range_that_is_wider_than_a_number_can_tell_is_refused(kind: str) -> None:
    definition = one_axis(**{kind: WIDEST})
    assert validate(definition) == ["f: axis 'a': the range exceeds floating-point numbers"]
    # One that was registered before fails its foreach, and nothing else.
    narrow = one_axis(**{kind: d.Range(low=0, high=1)})
    driver = Driver(narrow, works)
    spec = driver.state.workflow.definition.body.blocks[0].for_each
    getattr(spec.sweep.random.axes["a"], kind).CopyFrom(WIDEST)
    assert driver.run().status == t.FAILED
    assert driver.state.error is not None
    assert driver.state.error.error_class == step_pb2.ERROR_CLASS_USER


def test_whole_numbers_of_a_range_are_told_exactly() -> None:
    assert validate(one_axis(integer=d.Range(low=0, high=2.0**53))) == []
    assert "lies within" in validate(one_axis(integer=d.Range(low=0, high=2.0**54)))[0]


def test_points_that_are_too_large_together_fail_their_foreach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweeps, "_SPACE_CHARACTERS", 1_000)
    definition = one_axis(choice=literal(["x" * 400]))  # type: ignore[arg-type]
    driver = Driver(definition, works)
    assert driver.run().status == t.FAILED
    assert driver.state.error is not None
    assert "the points of a sweep have more than 1000 characters" in driver.state.error.message
