"""Describes runs and schedules that are set aside."""

from __future__ import annotations

from kaon_coordinator.engine.faulted_runs import fault_error
from kaon_coordinator.store.base import SetAside
from kaon_coordinator.store.protocols.aside_store import AsideStore
from kaonapi.step.v1 import step_pb2


def find(store: AsideStore, run_id: str) -> SetAside | None:
    """Return why a run is set aside, or None. Blocks: for reader threads."""
    return next(
        (each for each in store.list_set_aside(0) if (each.kind, each.name) == ("run", run_id)),
        None,
    )


def told(aside: SetAside) -> str:
    """Describe the fault and the remedy."""
    return f"no coordinator works on it: {aside.reason}. {advice(aside)}"


def advice(aside: SetAside) -> str:
    """Describe the remedy."""
    if aside.kind == "schedule":
        return f"kaon schedule put changes it, and kaon schedule delete {aside.name} ends it; until then it is retried occasionally"
    return f"kaon retry {aside.name} lets a coordinator try again, best after an upgrade; kaon cancel {aside.name} stops it then"


def error(aside: SetAside) -> step_pb2.StepError:
    """Return the fault as the error of an active run."""
    return fault_error(f"set aside: {told(aside)}")
