"""Finds what people name in a run: by its path, by the name of its step or block, or by the end of its path."""

from __future__ import annotations

import difflib
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

# So many places are listed in an error.
_LISTED = 5
# Paths among which a near one is looked for; names are looked through whatever their number.
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
    """The places of a run as it is stored."""
    return [
        Place(path=row.path, status=row.status, is_cell=isinstance(row, BlockRow) and row.kind == "cell")
        for row in rows
    ]


def of_state(state: RunState) -> list[Place]:
    """The places of a folded run."""
    both: list[Node] = [*state.steps.values(), *state.blocks.values()]
    nodes = [Place(path=node.path, status=node.status, is_cell=False) for node in both]
    cells = [Place(path=key, status=scope.status, is_cell=True) for key, scope in state.scopes.items() if key]
    return nodes + cells


def named(places: Iterable[Place], written: str) -> list[Place]:
    """The place at a path; or else all that have this name or whose paths end so."""
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
    """The path of the one place that is meant. When several have the name, the only one that `fits` is meant.

    Raises:
        FailedPrecondition: several are; the error lists their paths.
    """
    meant = found
    if fits is not None and len(found) > 1:
        meant = [place for place in found if fits(place)] or found
    if len(meant) == 1:
        return meant[0].path
    listed = ", ".join(place.path for place in meant[:_LISTED])
    more = f" and {len(meant) - _LISTED} more" if len(meant) > _LISTED else ""
    raise FailedPrecondition(f"{where} has {len(meant)} places named {written!r}: give one of {listed}{more}")


def find(store: PlaceStore, run: RunRecord, written: str, fits: Callable[[Place], bool] | None = None) -> str:
    """The path of what a person named in a run.

    Raises:
        NotFound: the run's workflow has nothing of this name; the error has the nearest names.
        FailedPrecondition: it has not come to be yet, or several places have the name.
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
    """A place that is around all that a person named, and what tells of a path whether it is at or under that: all cells of a name,
    those that come later, too. With `later` it may be something that has not come to be yet.

    Raises:
        NotFound: the run's workflow has nothing of this name; the error has the nearest names.
        FailedPrecondition: it has not come to be yet.
    """
    if not written or store.find_row(run.run_id, written) is not None:
        return written, lambda path: at_or_under(path, written)
    places, workflow = _all(store, run), _workflow(store, run)
    if not named(places, written) and not (later and _declared(workflow, written)):
        raise missing(workflow, places, written, f"run {run.run_id}")
    return "", lambda path: any(names(above, written) for above in _upwards(path))


def missing(
    workflow: CompiledWorkflow, places: Iterable[Place], written: str, where: str
) -> NotFound | FailedPrecondition:
    """The error for a name that no place has: there is no such thing, or not yet."""
    if _declared(workflow, written):
        near = difflib.get_close_matches(written, _paths(places), n=3) if "/" in written else ()
        hint = f"; it has {' and '.join(near)}" if near else ""
        return FailedPrecondition(f"{where} has no step, block or cell {written!r} (yet){hint}")
    return unknown(workflow, places, written)


def unknown(workflow: CompiledWorkflow, places: Iterable[Place], written: str) -> NotFound:
    """The error for a name that neither the workflow nor the run has, with the nearest ones."""
    near = difflib.get_close_matches(written, dict.fromkeys([*workflow.chains, *_paths(places)]), n=3)
    near = near or difflib.get_close_matches(bare(written.rsplit("/", 1)[-1]), workflow.chains, n=3)
    known = list(workflow.chains)
    if near:
        hint = f"; did you mean {' or '.join(near)}?"
    else:
        more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
        hint = f"; it has {', '.join(known[:_LISTED]) or 'none'}{more}"
    return NotFound(
        f"the run's workflow {workflow.definition.name!r} has no step, block or cell {written!r}{hint}"
    )


def is_over(place: Place) -> bool:
    """Whether it has ended."""
    return place.status in t.TERMINAL


def goes_on(place: Place) -> bool:
    """Whether it has not ended."""
    return place.status not in t.TERMINAL


def _declared(workflow: CompiledWorkflow, written: str) -> bool:
    """Whether the workflow has such a thing, whether or not it has begun in the run."""
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
