"""Makes the updates of datasets from a run's events."""

from __future__ import annotations

from collections.abc import Iterable

from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.store.records import DatasetUpdate
from kaonapi.run.v1 import history_pb2


def updates_of(state: RunState, events: Iterable[history_pb2.HistoryEvent]) -> list[DatasetUpdate]:
    """Return an update for each dataset that the events of successful steps name."""
    return [
        DatasetUpdate(
            tenant=state.tenant,
            dataset=dataset,
            part=part,
            key=f"{state.run_id}:{event.seq}",
            time_us=event.time_us,
            outputs=dict(event.step_ended.outputs_json),
            teller=state.submitter,
            run_id=state.run_id,
            workflow=state.workflow.definition.name,
            version=state.workflow.version,
            path=event.step_ended.path,
            origin=state.origin,
        )
        for event in events
        if event.HasField("step_ended")
        for dataset, part in sorted(event.step_ended.datasets.items())
    ]
