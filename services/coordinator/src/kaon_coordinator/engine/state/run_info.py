"""What a run is told about itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from kaon_wire.times import time_text
from kaonapi.run.v1 import run_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

# How the serialized binding stands in every message that holds it.
_USE = d.Binding(run_info=d.RunInfo()).SerializeToString()


def may_use_run_info(definition: d.WorkflowDefinition) -> bool:
    """Tell whether a workflow may use `run_info()`; False when it certainly does not.

    Looks at the bytes, since walking a large definition would cost every submission milliseconds.
    """
    return _USE in definition.SerializeToString()


def run_info(
    *,
    run_id: str,
    workflow: str,
    version: str,
    tenant: str,
    submit_us: int,
    origin: str,
    scheduled_us: int,
    previous: run_pb2.PreviousRun | None = None,
) -> Mapping[str, object]:
    """Return the value of `run_info()`; times are microseconds since the epoch, 0 for none."""
    return {
        "id": run_id,
        "workflow": workflow,
        "version": version,
        "tenant": tenant,
        "submit_time": _text(submit_us, "microseconds"),
        "origin": origin,
        "scheduled_time": _scheduled(scheduled_us),
        "previous_success": None if previous is None else _previous(previous),
    }


def _previous(run: run_pb2.PreviousRun) -> Mapping[str, str | None]:
    return {
        "id": run.run_id,
        "end_time": _text(run.end_time_us, "microseconds"),
        "scheduled_time": _scheduled(run.scheduled_time_us),
    }


def _scheduled(time_us: int) -> str | None:
    return _text(time_us, "auto") if time_us else None


def _text(time_us: int, precision: str) -> str:
    moment = datetime.fromtimestamp(time_us / 1_000_000, UTC)
    if precision == "auto":
        return time_text(moment)
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")
