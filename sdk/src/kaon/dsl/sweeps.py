"""Search spaces whose points are a foreach's items, and rules that stop the cells that do badly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kaon.dsl import checks, names, types
from kaon.dsl.errors import WorkflowError
from kaon.dsl.source import Source, caller
from kaonapi.workflow.v1 import definition_pb2 as d

_GOALS = {"minimize": d.GOAL_MINIMIZE, "maximize": d.GOAL_MAXIMIZE}
# Beyond this a float does not know every whole number.
_LARGEST_WHOLE = 2**53


@dataclass(frozen=True, kw_only=True)
class Draw:
    """The distribution of one axis of a sample; `choice`, `integers`, `uniform` and `log_uniform` make it."""

    # A list, or a value that gives one; None for a range.
    choices: Any
    # The rest of the message.
    message: d.Distribution


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """The points of a search space: objects by axis name. `grid` and `sample` make it."""

    # By axis: a list (or a value that gives one), of a sample also a Draw.
    axes: Mapping[str, Any]
    # None: all combinations.
    count: int | None
    seed: int
    source: Source


def grid(axes: Mapping[str, Any] | None = None, /, **named: Any) -> Space:
    """Make the grid of all combinations of the values of the axes. In order of name, the last axis changes fastest.

        trial = each("trial", grid(lr=[0.1, 0.01], depth=[4, 6, 8]))
        steps.python("train", train, lr=trial["lr"], depth=trial["depth"])

    Raises:
        WorkflowError: there is no axis, or a name is not good.
    """
    source = caller()
    return Space(axes=_axes("grid", axes, named, source), count=None, seed=0, source=source)


def sample(
    axes: Mapping[str, Any] | None = None, /, *, count: int, seed: int = 0, **named: Any
) -> Space:
    """Draw `count` points at random; the same seed draws the same points.

        trial = each("trial", sample(count=20, seed=1, lr=log_uniform(1e-4, 1), depth=integers(2, 8), kind=["a", "b"]))

    Args:
        axes: axes by name, besides those given as arguments: `uniform`, `log_uniform`, `integers`, `choice`, or a list.
        count: how many points, at least 1.
        seed: a whole number.
        **named: further axes by name.

    Raises:
        WorkflowError: one of them is wrong.
    """
    source = caller()
    checks.whole(count, "sample: count", source, d.RandomSample, "count", least=1)
    if type(seed) is not int or not -(2**63) <= seed < 2**63:
        raise WorkflowError(f"sample: seed must be a whole number, not {seed!r}", source)
    return Space(axes=_axes("sample", axes, named, source), count=count, seed=seed, source=source)


def choice(values: Any, /) -> Draw:
    """Draw an element of a list, each with the same probability."""
    return Draw(choices=values, message=d.Distribution())


def uniform(low: float, high: float, /) -> Draw:
    """Draw a number between two bounds, uniformly."""
    return Draw(
        choices=None, message=d.Distribution(uniform=_range("uniform", low, high, caller()))
    )


def log_uniform(low: float, high: float, /) -> Draw:
    """Draw a number between two bounds above 0, uniformly in its logarithm."""
    source = caller()
    bounds = _range("log_uniform", low, high, source)
    if low <= 0:
        raise WorkflowError(f"log_uniform({low!r}, {high!r}): both ends must be above 0", source)
    return Draw(choices=None, message=d.Distribution(log_uniform=bounds))


def integers(low: int, high: int, /) -> Draw:
    """Draw a whole number between two bounds, both inclusive."""
    source = caller()
    bounds = _range("integers", low, high, source)
    if any(type(end) is not int or abs(end) > _LARGEST_WHOLE for end in (low, high)):
        raise WorkflowError(
            f"integers({low!r}, {high!r}): both ends must be whole numbers up to 2**53", source
        )
    return Draw(choices=None, message=d.Distribution(integer=bounds))


def median(
    metric: str, *, goal: str = "minimize", min_step: int = 1, min_cells: int = 3
) -> d.EarlyStopping:
    """Stop a cell whose best value so far is worse than the median of the other cells' running means.

    Args:
        metric: the name under which steps report it: `context.metric("loss", loss, step=epoch)`.
        goal: "minimize" or "maximize".
        min_step: nothing is stopped before this step.
        min_cells: nothing is stopped before this many other cells have come as far.

    Raises:
        WorkflowError: one of them is wrong.
    """
    source = caller()
    checks.whole(min_cells, "median: min_cells", source, d.MedianRule, "min_cells", least=1)
    checks.whole(min_step, "median: min_step", source, d.MedianRule, "min_step", least=1)
    rule = d.MedianRule(min_step=min_step, min_cells=min_cells)
    return d.EarlyStopping(metric=_metric(metric, source), goal=_goal(goal, source), median=rule)


def halving(
    metric: str, *, goal: str = "minimize", eta: int = 3, min_step: int = 1
) -> d.EarlyStopping:
    """Stop cells by asynchronous successive halving: at the steps min_step x eta^k only the best 1/eta of the cells continue.

    Args:
        metric: the name under which steps report it: `context.metric("loss", loss, step=epoch)`.
        goal: "minimize" or "maximize".
        eta: at least 2.
        min_step: the first rung.

    Raises:
        WorkflowError: one of them is wrong.
    """
    source = caller()
    checks.whole(eta, "halving: eta", source, d.SuccessiveHalving, "eta", least=2)
    checks.whole(min_step, "halving: min_step", source, d.SuccessiveHalving, "min_step", least=1)
    rule = d.SuccessiveHalving(min_step=min_step, eta=eta)
    return d.EarlyStopping(metric=_metric(metric, source), goal=_goal(goal, source), halving=rule)


def _axes(
    verb: str, given: Mapping[str, Any] | None, named: Mapping[str, Any], source: Source
) -> dict[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise WorkflowError(
            f"{verb} takes axes by name, such as {verb}(lr=[0.1, 0.01]), not {given!r}", source
        )
    axes = {**(given or {}), **named}
    if not axes:
        raise WorkflowError(f"{verb}() has no axis; write {verb}(lr=[0.1, 0.01])", source)
    if twice := sorted(set(given or {}) & set(named)):
        raise WorkflowError(f"{verb}: axis {twice[0]!r} is given twice", source)
    for axis, values in axes.items():
        names.check_value_name(axis, f"an axis of {verb}", source)
        if verb == "grid" and isinstance(values, Draw):
            raise WorkflowError(
                f"grid: axis {axis!r} must be a list; draw values with sample(...)", source
            )
        if isinstance(values, list | tuple) and not values:
            raise WorkflowError(f"{verb}: axis {axis!r} is empty", source)
    return axes


def _range(verb: str, low: float, high: float, source: Source) -> d.Range:
    if not (types.is_real(low) and types.is_real(high)):
        raise WorkflowError(f"{verb}({low!r}, {high!r}): both ends must be numbers", source)
    if low > high:
        raise WorkflowError(
            f"{verb}({low!r}, {high!r}): the first must not be above the second", source
        )
    return d.Range(low=low, high=high)


def _metric(metric: object, source: Source) -> str:
    if not isinstance(metric, str) or not metric.strip() or len(metric) > 200:
        raise WorkflowError(f"stop_early: metric must be a metric's name, not {metric!r}", source)
    return checks.text(metric, "stop_early: metric", source)


def _goal(goal: object, source: Source) -> d.Goal.ValueType:
    if not isinstance(goal, str) or goal not in _GOALS:
        raise WorkflowError(
            f'stop_early: goal must be "minimize" or "maximize", not {goal!r}', source
        )
    return _GOALS[goal]
