"""Copies runs to MLflow, through its client: the extra `kaon[mlflow]`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaon_wire import canonical
from kaon_wire.errors import Conflict, KaonError
from kaonapi.run.v1 import run_pb2

if TYPE_CHECKING:
    from kaon.client.client import Client

_TAG = "kaon.run_id"
# What one call of MLflow takes.
_METRICS, _PARAMS = 1_000, 100
_PARAM_CHARACTERS = 6_000
_ENDS = {
    run_pb2.STATUS_SUCCEEDED: "FINISHED",
    run_pb2.STATUS_FAILED: "FAILED",
    run_pb2.STATUS_TIMED_OUT: "FAILED",
    run_pb2.STATUS_CANCELLED: "KILLED",
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a run is copied to."""

    # MLflow's tracking URI.
    uri: str
    # Name of the experiment; empty: that of the workflow.
    experiment: str = ""


@dataclass(frozen=True, kw_only=True)
class Copied:
    """What was copied."""

    run_id: str
    experiment: str
    params: int
    metrics: int
    artifacts: int


def export(client: Client, run_id: str, target: Target, *, artifacts: bool = True) -> Copied:
    """Copy an ended run to MLflow, as a run there.

    Parameters become parameters; what steps reported becomes metrics by the step's path and the metric's name; artifacts lie
    under the path of their step. Labels, versions and the id of the run become tags.

    Raises:
        Conflict: the run has not ended, or it was copied there before.
        KaonError: MLflow's client is not installed, or MLflow refuses something.
    """
    mlflow = _mlflow()
    found = client.run(run_id)
    run = found.run
    if run.status not in _ENDS:
        raise Conflict(
            f"run {run.run_id} has not ended: wait for its end (kaon watch {run.run_id})"
        )
    try:
        there = mlflow.MlflowClient(tracking_uri=target.uri)
        name = target.experiment or run.workflow
        experiment = _experiment(there, name)
        before = there.search_runs([experiment], f"tags.`{_TAG}` = '{run.run_id}'", max_results=1)
        if before:
            raise Conflict(f"run {run.run_id} was copied before, to run {before[0].info.run_id}")
        made = there.create_run(
            experiment,
            start_time=run.create_time.ToMilliseconds(),
            tags=_tags(run),
            run_name=f"{run.workflow} {run.run_id}",
        ).info.run_id
        params = _params(mlflow, run)
        for part in _parts(params, _PARAMS):
            there.log_batch(made, params=part)
        metrics = _metrics(mlflow, client.metrics(run.run_id))
        for part in _parts(metrics, _METRICS):
            there.log_batch(made, metrics=part)
        copied = _copy_artifacts(client, there, run.run_id, made) if artifacts else 0
        there.set_terminated(made, _ENDS[run.status], run.end_time.ToMilliseconds())
    except mlflow.exceptions.MlflowException as error:
        raise KaonError(f"MLflow at {target.uri}: {error}") from error
    return Copied(
        run_id=made,
        experiment=name,
        params=len(params),
        metrics=len(metrics),
        artifacts=copied,
    )


def _mlflow() -> Any:
    # It takes seconds to load.
    try:
        import mlflow
        import mlflow.exceptions
    except ImportError as error:
        raise KaonError(
            f"MLflow's client is not installed ({error}): pip install 'kaon[mlflow]'"
        ) from error
    return mlflow


def _experiment(there: Any, name: str) -> str:
    found = there.get_experiment_by_name(name)
    return str(there.create_experiment(name) if found is None else found.experiment_id)


def _tags(run: run_pb2.Run) -> dict[str, str]:
    told = {
        _TAG: run.run_id,
        "kaon.workflow": run.workflow,
        "kaon.version": run.version,
        "kaon.status": run_pb2.Status.Name(run.status).removeprefix("STATUS_"),
        "mlflow.user": run.submitter,
    }
    return {**{f"label.{name}": value for name, value in run.labels.items()}, **told}


def _params(mlflow: Any, run: run_pb2.Run) -> list[Any]:
    return [
        mlflow.entities.Param(name, _shown(text)) for name, text in sorted(run.params_json.items())
    ]


def _shown(text: str) -> str:
    value = canonical.loads(text)
    told = value if isinstance(value, str) else text
    return told[:_PARAM_CHARACTERS]


def _metrics(mlflow: Any, records: Sequence[dict[str, Any]]) -> list[Any]:
    return [
        mlflow.entities.Metric(
            _name(f"{each['path']}/{each['name']}"),
            each["value"],
            int(each["time"].timestamp() * 1000),
            each["step"],
        )
        for each in records
    ]


def _name(path: str) -> str:
    """Return a path with the characters that MLflow takes in names."""
    return path.replace("[", "/").replace("]", "").replace("#", "-").replace("@", "_")


def _copy_artifacts(client: Client, there: Any, run_id: str, made: str) -> int:
    count = 0
    with tempfile.TemporaryDirectory(prefix="kaon-export-") as directory:
        for artifact in client.artifacts.list(run_id):
            # An output of the run is an output of one of its steps.
            if not artifact.path or not artifact.digest:
                continue
            place = Path(directory) / str(count)
            place.mkdir()
            got = client.artifacts.download(run_id, artifact.path, artifact.output, to=place)
            there.log_artifact(made, str(got), f"{_name(artifact.path)}/{_name(artifact.output)}")
            count += 1
    return count


def _parts(values: Sequence[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part
