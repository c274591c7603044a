"""The run of the same workflow that succeeded before a new one, of which `run_info()` tells."""

from __future__ import annotations

from kaon_coordinator.engine.rows.codec import occasion_of
from kaon_coordinator.store.base import WorkflowRecord
from kaon_coordinator.store.protocols.run_store import RunStore
from kaonapi.run.v1 import run_pb2


def previous_success(store: RunStore, workflow: WorkflowRecord) -> run_pb2.PreviousRun | None:
    """Return the run of a workflow, of any version, that has succeeded last; None without one. Blocks."""
    run = store.succeeded_run(workflow.tenant, workflow.name, {}, 0)
    if run is None:
        return None
    return run_pb2.PreviousRun(
        run_id=run.run_id,
        end_time_us=run.row.end_us,
        scheduled_time_us=occasion_of(run.row)[0],
    )
