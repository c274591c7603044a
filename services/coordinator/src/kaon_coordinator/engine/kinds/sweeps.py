"""The points of a search space, as items of a foreach."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable
from typing import Any

from kaon_coordinator.engine.decision import Context
from kaon_coordinator.engine.state.bindings import resolve
from kaon_coordinator.engine.state.state import RunState, ScopeState
from kaon_wire import canonical
from kaon_wire.errors import KaonError
from kaonapi.workflow.v1 import definition_pb2 as d

# Upper bound of the bytes of all points of one sweep.
_SPACE_CHARACTERS = 64 << 20


def points(state: RunState, scope: ScopeState, sweep: d.Sweep, context: Context) -> tuple[str, ...]:
    """Return the points of a search space, each a canonical JSON object by axis. Deterministic for a given state.

    Raises:
        KaonError: An axis is not a list, or the space has more points than the limit on items of a foreach.
    """
    if sweep.HasField("random"):
        return _random_points(state, scope, sweep.random, context)
    axes = {
        name: _values(state, scope, name, binding, context)
        for name, binding in sorted(sweep.grid.axes.items())
    }
    size = math.prod(len(values) for values in axes.values())
    if size > context.limits.foreach_items:
        raise KaonError(
            f"a grid has {size} points; the limit foreach_items is {context.limits.foreach_items}"
        )
    every = (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))
    return _bounded(every)


def _bounded(space: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """Return the points as canonical JSON, bounded in total, because many points may share one large value.

    Raises:
        KaonError: The points exceed the limit in total.
    """
    points: list[str] = []
    size = 0
    for point in space:
        points.append(canonical.dumps(point))
        size += len(points[-1])
        if size > _SPACE_CHARACTERS:
            raise KaonError(
                f"the points of a sweep have more than {_SPACE_CHARACTERS} characters: use artifacts"
            )
    return tuple(points)


def _values(
    state: RunState, scope: ScopeState, name: str, binding: d.Binding, context: Context
) -> list[Any]:
    value = canonical.loads(resolve(state, scope, binding, context.evaluate))
    if not isinstance(value, list) or not value:
        raise KaonError(f"axis {name!r} needs a list of values, not {canonical.dumps(value)[:80]}")
    return value


def _random_points(
    state: RunState, scope: ScopeState, sample: d.RandomSample, context: Context
) -> tuple[str, ...]:
    choices = {
        name: _values(state, scope, name, axis.choice, context)
        for name, axis in sorted(sample.axes.items())
        if axis.HasField("choice")
    }
    axes = sorted(sample.axes.items())
    try:
        return _bounded(
            {
                name: _draw(axis, _share(sample.seed, index, name), choices.get(name, []))
                for name, axis in axes
            }
            for index in range(sample.count)
        )
    except OverflowError as error:
        raise KaonError(
            f"the range of a random sample exceeds floating-point numbers: {error}"
        ) from error


def _share(seed: int, index: int, axis: str) -> float:
    """Return a number in [0, 1) that depends only on the arguments, on any machine and version."""
    drawn = hashlib.sha256(f"{seed}/{index}/{axis}".encode()).digest()
    return int.from_bytes(drawn[:7]) / 2**56


def _draw(axis: d.Distribution, share: float, choices: list[Any]) -> Any:
    match axis.WhichOneof("kind"):
        case "choice":
            return choices[int(share * len(choices))]
        case "uniform":
            return axis.uniform.low + share * (axis.uniform.high - axis.uniform.low)
        case "log_uniform":
            low, high = math.log(axis.log_uniform.low), math.log(axis.log_uniform.high)
            return math.exp(low + share * (high - low))
        case _:
            low, high = int(axis.integer.low), int(axis.integer.high)
            return low + int(share * (high - low + 1))
