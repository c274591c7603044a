"""Finds places in a run by path, by the name of a step or block, or by the end of a path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kaon_coordinator.engine.definition.compiled import CompiledWorkflow, compile_workflow
from kaon_coordinator.engine.rows.rows import BlockRow, StepRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.paths import at_or_under
from kaon_coordinator.engine.state.state import Node, RunState
from kaon_coordinator.problems import FailedPrecondition
from kaon_coordinator.store.base import RunRecord
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_coordinator.store.protocols.workflow_store import WorkflowStore
from kaon_wire.errors import NotFound
from kaon_wire.paths import bare, names, names_merely_a_cell
from kaon_wire.texts import enumerated, meant, similar

# Number of paths searched for a similar one; names are all searched.
_COMPARED = 5_000


class PlaceStore(RunStore, WorkflowStore, Protocol):
    """What names are looked up in."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A step, block or cell of a run."""

    path: str
    status: int
    is_cell: bool


def of_rows(rows: Iterable[StepRow | BlockRow]) -> list[Place]:
    """Return the places of a run from its stored rows."""
    return [
        Place(
            path=row.path,
            status=row.status,
            is_cell=isinstance(row, BlockRow) and row.kind == "cell",
        )
        for row in rows
    ]


def of_state(state: RunState) -> list[Place]:
    """Return the places of a folded run."""
    both: list[Node] = [*state.steps.values(), *state.blocks.values()]
    nodes = [Place(path=node.path, status=node.status, is_cell=False) for node in both]
    cells = [
        Place(path=key, status=scope.status, is_cell=True)
        for key, scope in state.scopes.items()
        if key
    ]
    return nodes + cells


def named(places: Iterable[Place], written: str) -> list[Place]:
    """Return the place at a path, or else all places with this name or end of path."""
    listed = list(places)
    exact = [place for place in listed if place.path == written]
    return exact or [
        place
        for place in listed
        if names(place.path, written) and not names_merely_a_cell(place.path, written)
    ]


def the_one(
    found: Sequence[Place], written: str, where: str, *, fits: Callable[[Place], bool] | None = None
) -> str:
    """Return the path of the one place that is meant: among several, the only one that `fits`.

    Raises:
        FailedPrecondition: Several places match; the error lists their paths.
    """
    fitting = found
    if fits is not None and len(found) > 1:
        fitting = [place for place in found if fits(place)] or found
    if len(fitting) == 1:
        return fitting[0].path
    paths = enumerated(place.path for place in fitting)
    raise FailedPrecondition(
        f"{where} has {len(fitting)} places named {written!r}: give one of {paths}"
    )


def find(
    store: PlaceStore, run: RunRecord, written: str, fits: Callable[[Place], bool] | None = None
) -> str:
    """Resolve a name or path that a person gave to a path of the run.

    Raises:
        NotFound: The run's workflow has no such name; the error lists similar ones.
        FailedPrecondition: The place does not exist yet, or several match.
    """
    if store.find_row(run.run_id, written) is not None:
        return written
    places = _all(store, run)
    if found := named(places, written):
        return the_one(found, written, f"run {run.run_id}", fits=fits)
    raise missing(_workflow(store, run), places, written, f"run {run.run_id}")


def find_all(
    store: PlaceStore, run: RunRecord, written: str, *, later: bool
) -> tuple[str, Callable[[str], bool]]:
    """Find an ancestor of all places that a person named, and a predicate for paths at or under them.

    A name covers all of its cells, including later ones. With `later` it may name a place that does not exist
    yet.

    Raises:
        NotFound: The run's workflow has no such name; the error lists similar ones.
        FailedPrecondition: The place does not exist yet.
    """
    if not written or store.find_row(run.run_id, written) is not None:
        return written, lambda path: at_or_under(path, written)
    places, workflow = _all(store, run), _workflow(store, run)
    if not named(places, written) and not (later and _declared(workflow, written)):
        raise missing(workflow, places, written, f"run {run.run_id}")
    return "", lambda path: any(names(above, written) for above in _upwards(path))


def declared(store: PlaceStore, run: RunRecord, written: str) -> str:
    """Resolve the end of a path, and keep a name or the path of a place that is not created yet.

    Raises:
        NotFound: The run's workflow has no such name; the error lists similar ones.
        FailedPrecondition: Several places match.
    """
    workflow = _workflow(store, run)
    if not _declared(workflow, written):
        raise unknown(workflow, _all(store, run), written)
    if "/" not in written:
        return written
    found = named(_all(store, run), written)
    return the_one(found, written, f"run {run.run_id}") if found else written


def missing(
    workflow: CompiledWorkflow, places: Iterable[Place], written: str, where: str
) -> NotFound | FailedPrecondition:
    """Return the error for a name without a place: unknown, or not created yet."""
    if _declared(workflow, written):
        near = similar(written, _paths(places)) if "/" in written else ()
        hint = f"; it has {' and '.join(near)}" if near else ""
        return FailedPrecondition(f"{where} has no step, block or cell {written!r} (yet){hint}")
    return unknown(workflow, places, written)


def unknown(workflow: CompiledWorkflow, places: Iterable[Place], written: str) -> NotFound:
    """Return the error for a name that neither the workflow nor the run has, with similar names."""
    hint = (
        meant(written, [*workflow.chains, *_paths(places)])
        or meant(bare(written.rsplit("/", 1)[-1]), workflow.chains)
        or f"it has {enumerated(workflow.chains)}"
    )
    return NotFound(
        f"the run's workflow {workflow.definition.name!r} has no step, block or cell {written!r}; {hint}"
    )


def is_over(place: Place) -> bool:
    """Tell whether the place has ended."""
    return place.status in t.TERMINAL


def goes_on(place: Place) -> bool:
    """Tell whether the place has not ended."""
    return place.status not in t.TERMINAL


def _declared(workflow: CompiledWorkflow, written: str) -> bool:
    """Tell whether the workflow declares the name, begun in the run or not."""
    segments = tuple(bare(segment) for segment in written.rstrip("/").split("/"))
    return workflow.chains.get(segments[-1], ())[-len(segments) :] == segments


def _paths(places: Iterable[Place]) -> list[str]:
    return [place.path.rstrip("/") for place in list(places)[:_COMPARED]]


def _upwards(path: str) -> Iterable[str]:
    segments = path.rstrip("/").split("/")
    return ("/".join(segments[:count]) for count in range(len(segments), 0, -1))


def _all(store: PlaceStore, run: RunRecord) -> list[Place]:
    return of_rows([*store.list_steps(run.run_id), *store.list_blocks(run.run_id)])


def _workflow(store: PlaceStore, run: RunRecord) -> CompiledWorkflow:
    record = store.get_workflow(run.tenant, run.workflow, run.version)
    return compile_workflow(record.definition, record.version)
