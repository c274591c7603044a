"""The parameters of a run that is made, whoever makes it: a caller, a schedule or another run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kaon_coordinator import params
from kaon_coordinator.computed_params import computed_names
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.state.run_info import run_info
from kaon_coordinator.store.base import WorkflowRecord
from kaonapi.run.v1 import run_pb2


@dataclass(frozen=True, kw_only=True)
class RunParams:
    """The parameters of one run."""

    # Canonical JSON of every parameter, by name.
    values: Mapping[str, str]
    # The names of those whose values are computed for each run.
    computed: frozenset[str]


def run_params(
    workflow: WorkflowRecord,
    given: Mapping[str, str],
    limits: Limits,
    *,
    run_id: str,
    submit_us: int,
    origin: str,
    scheduled_us: int,
    previous: run_pb2.PreviousRun | None,
) -> RunParams:
    """Return the parameters of a new run: those given, and the defaults of the others, computed for this run.

    Raises:
        InvalidValue: Parameters do not match their declarations; the error names each of them.
    """
    told = run_info(
        run_id=run_id,
        workflow=workflow.name,
        version=workflow.version,
        tenant=workflow.tenant,
        submit_us=submit_us,
        origin=origin,
        scheduled_us=scheduled_us,
        previous=previous,
    )
    return RunParams(
        values=params.complete(workflow.definition, given, limits, run=told),
        computed=computed_names(workflow.definition, given),
    )
