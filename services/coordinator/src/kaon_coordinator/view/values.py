"""An output or a metric over the newest runs of a workflow."""

from __future__ import annotations

from typing import Any

from kaon_coordinator.engine.rows.row_views import timestamp
from kaon_coordinator.engine.rows.rows import StepRow
from kaon_coordinator.store.records import RunRecord
from kaon_coordinator.store.view_reads import ViewReads
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaonapi.view.v1 import runs_pb2

_RUNS = 100
_LONGEST_VALUE = 65_536


def listed(
    reads: ViewReads, tenant: str, request: runs_pb2.ListValuesRequest
) -> runs_pb2.ListValuesResponse:
    """Return the values. Blocks.

    Raises:
        InvalidValue: the request names no value, or two.
    """
    _check(request)
    runs = _newest(reads, tenant, request)
    rows = reads.rows_at([run.run_id for run in runs], request.path) if request.path else {}
    answer = runs_pb2.ListValuesResponse()
    for run in runs:
        row = rows.get(run.run_id)
        data: dict[str, Any] = canonical.loads(row.data) if row is not None else {}
        value = runs_pb2.RunValue(
            run_id=run.run_id,
            create_time=timestamp(run.create_us),
            status=run.row.status,  # type: ignore[arg-type]
        )
        if request.metric:
            metrics = data.get("metrics", {}) if isinstance(row, StepRow) else {}
            if request.metric not in metrics:
                continue
            value.metric = float(metrics[request.metric])
        else:
            outputs = data.get("outputs", {}) if request.path else _outputs(run)
            if request.output not in outputs:
                continue
            text = outputs[request.output]
            value.value_json = text if len(text) <= _LONGEST_VALUE else ""
        answer.values.append(value)
    return answer


def _check(request: runs_pb2.ListValuesRequest) -> None:
    if not request.workflow:
        raise InvalidValue("workflow: name one")
    if bool(request.output) == bool(request.metric):
        raise InvalidValue("name either an output or a metric")
    if request.metric and not request.path:
        raise InvalidValue("path: a metric is reported by a step, name it")


def _newest(reads: ViewReads, tenant: str, request: runs_pb2.ListValuesRequest) -> list[RunRecord]:
    wish = runs_pb2.RunFilter()
    wish.CopyFrom(request.filter)
    del wish.workflows[:]
    wish.workflows.append(request.workflow)
    return reads.newest_runs(tenant, wish, request.runs or _RUNS)


def _outputs(run: RunRecord) -> dict[str, str]:
    return canonical.loads(run.row.outputs) if run.row.outputs else {}
