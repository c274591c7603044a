"""What is in foreach cells, counted by its place in the definition: however many cells there are, there are as many counts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import BlockState, RunState, ScopeState, StepState
from kaon_wire import canonical
from kaonapi.view.v1 import run_view_pb2, runs_pb2

_KEY = re.compile(r"\[[^\]]*\]")
_NUMBER = re.compile(r"#\d+")
_ITERATION = re.compile(r"#\d+\Z")

Instance: TypeAlias = StepState | BlockState | ScopeState
# The outermost foreach, and the place in the definition.
Place: TypeAlias = tuple[str, str]


def folded(path: str, begin: int = 0) -> Place | None:
    """Return the place of what is in a foreach cell; None for what is in no such cell.

    It is the foreach that is the outermost one after the first `begin` characters of the path, and the path without the keys of its
    cells.
    """
    at = path.find("[", begin)
    if at < 0:
        return None
    block, rest = path[:at], path[path.index("]", at) + 1 :]
    if "[" in rest or "#" in rest:
        rest = _NUMBER.sub("#", _KEY.sub("[]", rest))
    return block, f"{block}[]{rest}"


@dataclass(slots=True)
class Sum:
    """All instances at one place."""

    place: Place
    kind: str
    statuses: dict[int, int] = field(default_factory=dict)
    retried: int = 0
    sum_us: int = 0
    timed: int = 0
    items: int = 0

    def add(self, status: int, retried: int, took_us: int, items: int, sign: int = 1) -> None:
        """Count an instance, or take it out again."""
        self.statuses[status] = self.statuses.get(status, 0) + sign
        # Of most instances these are 0: they are new, or wait.
        if retried:
            self.retried += sign
        if took_us:
            self.sum_us += sign * took_us
            self.timed += sign
        if items:
            self.items += sign * items


# What one instance counts for: where, and what `Sum.add` takes. A tuple, for it is made anew with every change of every instance.
_Counted: TypeAlias = tuple[Sum, int, int, int, int]


class Folded:
    """Counts of a run, kept up to date."""

    def __init__(self, begin: int = 0) -> None:
        self._begin = begin
        self._instances: dict[str, _Counted] = {}
        self._sums: dict[Place, Sum] = {}

    def put(self, key: str, instance: Instance) -> Place | None:
        """Count an instance as it stands, by its path (of a cell: its key); the place that has changed."""
        known = self._instances.get(key)
        if known is not None:
            told = known[0]
            _take_out(known)
        else:
            kind = _kind(instance)
            place = folded(key, self._begin) if kind else None
            if place is None:
                return None
            told = self.sum_at(place, kind)
        one = self._instances[key] = _counted(told, instance)
        told.add(one[1], one[2], one[3], one[4])
        return told.place

    def sum_at(self, place: Place, kind: str) -> Sum:
        """Return the sum at a place, to which stored instances are added."""
        found = self._sums.get(place)
        if found is None:
            found = self._sums[place] = Sum(place=place, kind=kind)
        return found

    def drop(self, key: str) -> Place | None:
        """Forgets an instance that is gone."""
        one = self._instances.pop(key, None)
        if one is None:
            return None
        _take_out(one)
        return one[0].place

    def place(self, key: str) -> Place | None:
        """Return the place of a path or key, if anything was counted there."""
        known = self._instances.get(key)
        if known is not None:
            return known[0].place
        place = folded(key, self._begin)
        return place if place in self._sums else None

    def cells(self, block: str) -> dict[int, int] | None:
        """How many cells of an outermost foreach have each status; None when it has none."""
        found = self._sums.get((block, f"{block}[]"))
        return (
            None
            if found is None
            else {status: number for status, number in found.statuses.items() if number}
        )

    def shown(self, places: Iterable[Place] | None = None) -> Iterator[run_view_pb2.FoldedNode]:
        """Return the counts of these places, or of all of them, in the order in which they were met first."""
        for place in self._sums if places is None else sorted(places):
            yield _shown(self._sums[place])


def fold_rows(steps: Iterable[tuple[Any, ...]], blocks: Iterable[tuple[Any, ...]]) -> Folded:
    """Sum up stored steps, and blocks and cells, that are counted already where they are alike: those of an `Outline`."""
    counts = Folded()
    for path, status, number, retried, timed, took_us in steps:
        told = counts.sum_at(_place(path), "step")
        told.statuses[status] = told.statuses.get(status, 0) + number
        told.retried += retried
        told.timed += timed
        told.sum_us += took_us
    for path, kind, status, data, number in blocks:
        if kind == "cell" and not path.endswith("]") and not _ITERATION.search(path):
            # The bodies of groups and branches stand as their blocks do.
            continue
        told = counts.sum_at(_place(path), kind)
        told.statuses[status] = told.statuses.get(status, 0) + number
        told.items += number * canonical.loads(data).get("total", 0) if data else 0
    return counts


def _place(path: str) -> Place:
    place = folded(path)
    assert place is not None, path
    return place


def fold_state(state: RunState) -> Folded:
    """Return the counts of a whole run."""
    counts = Folded()
    for key, instance in instances(state):
        counts.put(key, instance)
    return counts


def instances(state: RunState) -> Iterator[tuple[str, Instance]]:
    """Everything in a run by its path; cells by their keys."""
    yield from state.steps.items()
    yield from state.blocks.items()
    yield from ((key, scope) for key, scope in state.scopes.items() if key)


def under(scope: ScopeState) -> Iterator[tuple[str, Instance]]:
    """Everything inside of a scope."""
    for node in scope.nodes.values():
        yield node.path, node
        if isinstance(node, BlockState):
            for cell in node.cells.values():
                yield cell.key, cell
                yield from under(cell)


def _kind(instance: Instance) -> str:
    """Empty for what is not counted: the bodies of groups and branches, which stand as their blocks do."""
    if isinstance(instance, StepState):
        return "step"
    if isinstance(instance, BlockState):
        return instance.kind
    counts = instance.parent is not None and instance.parent.kind in {"for_each", "repeat"}
    return "cell" if counts else ""


def _counted(told: Sum, instance: Instance) -> _Counted:
    if isinstance(instance, StepState):
        took_us = 0
        if instance.end_us and instance.start_us and instance.status in t.TERMINAL:
            took_us = max(instance.end_us - instance.start_us, 1)
        return told, instance.status, instance.attempt > 1, took_us, 0
    if isinstance(instance, BlockState) and instance.kind == "for_each":
        return told, instance.status, 0, 0, instance.count
    return told, instance.status, 0, 0, 0


def _take_out(one: _Counted) -> None:
    told, status, retried, took_us, items = one
    told.add(status, retried, took_us, items, -1)


def _shown(told: Sum) -> run_view_pb2.FoldedNode:
    counts = [
        runs_pb2.StatusCount(status=status, count=number)  # type: ignore[arg-type]
        for status, number in sorted(told.statuses.items())
        if number
    ]
    return run_view_pb2.FoldedNode(
        block=told.place[0],
        path=told.place[1],
        kind=told.kind,
        counts=counts,
        total=sum(told.statuses.values()),
        retried=told.retried,
        sum_us=told.sum_us,
        timed=told.timed,
        items=told.items,
    )
