"""What owners do not touch, as people are told of it."""

from __future__ import annotations

from kaon_coordinator.engine.faults import fault_error
from kaon_coordinator.store.base import SetAside
from kaon_coordinator.store.protocols.aside_store import AsideStore
from kaonapi.step.v1 import step_pb2


def find(store: AsideStore, run_id: str) -> SetAside | None:
    """Why a run is set aside; None when it is not. Blocks: for reader threads."""
    return next((each for each in store.list_set_aside(0) if (each.kind, each.name) == ("run", run_id)), None)


def told(aside: SetAside) -> str:
    """What happened, and what can be done about it."""
    return f"nobody works on it any more: {aside.reason}. {advice(aside)}"


def advice(aside: SetAside) -> str:
    """What can be done about it."""
    if aside.kind == "schedule":
        return f"kaon schedule put changes it, and kaon schedule delete {aside.name} ends it; until then it is tried now and then"
    return f"kaon retry {aside.name} lets a coordinator try again, best after an upgrade; kaon cancel {aside.name} stops it then"


def error(aside: SetAside) -> step_pb2.StepError:
    """As the error of a run that has not ended."""
    return fault_error(f"set aside: {told(aside)}")
