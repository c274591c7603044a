"""Export of a run to MLflow's own file store."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaon import load_workflow
from kaon.client import Client, Endpoints
from kaon.client.mlflow_export import Target, export
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem
from kaon_wire.errors import Conflict, KaonError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

FLOW = """
from kaon import Workflow, param, steps
from kaon.step import StepContext

def train(context: StepContext, rate):
    for epoch in (1, 2):
        context.metric("loss", rate / epoch, step=epoch)
    path = context.artifact_path("model", ".txt")
    path.write_text("weights")
    return {"score": 0.5}

step = steps.python("train", train, rate=param("rate", float, default=1), outputs={"model": "model", "score": float})
workflow = Workflow("exported", step)
"""


def test_a_run_is_copied_with_its_parameters_metrics_and_artifacts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Within the test: it takes most of a second, which every process that collects tests would pay.
    import mlflow

    # MLflow asks for this since its file store gets no new features.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    (tmp_path / "flow.py").write_text(FLOW)
    uri = (tmp_path / "mlruns").as_uri()
    with (
        EmbeddedSystem(EmbeddedSettings(state=tmp_path / "state", slots=1)) as system,
        Client(Endpoints(server=system.address)) as client,
    ):
        workflow = load_workflow(tmp_path / "flow.py")
        run = client.submit(workflow, {"rate": 0.5}, labels={"team": "search"}).wait(60)
        copied = export(client, run.run_id, Target(uri=uri))
        assert (copied.params, copied.metrics, copied.artifacts) == (1, 2, 1)
        with pytest.raises(Conflict, match=copied.run_id):
            export(client, run.run_id, Target(uri=uri))
        with pytest.raises(KaonError, match="MLflow at nowhere"):
            export(client, run.run_id, Target(uri="nowhere://x"))
    there = mlflow.MlflowClient(tracking_uri=uri)
    found = there.get_run(copied.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"rate": "0.5"}
    assert found.data.tags["kaon.run_id"] == run.run_id
    assert found.data.tags["label.team"] == "search"
    history = there.get_metric_history(copied.run_id, "train/loss")
    assert [(each.step, each.value) for each in history] == [(1, 0.5), (2, 0.25)]
    (artifact,) = there.list_artifacts(copied.run_id, "train/model")
    got = there.download_artifacts(copied.run_id, artifact.path, str(tmp_path))
    assert Path(got).read_text() == "weights"
