"""`kaon run` publishes into a directory when no publisher is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kaon.cli.main import execute

STEPS = """
import json

from kaon import Workflow, steps
from kaon.step import StepContext

SERVING = '''
class Model:
    def __init__(self, path): pass
    def predict(self, request): return request
'''


def train(context: StepContext) -> dict:
    model = context.artifact_path("model")
    model.mkdir()
    (model / "serving.py").write_text(SERVING)
    probe = {"request": {"a": 1}, "expected": {"a": 1}}
    described = {"format": 1, "entry": "serving:Model", "probe": probe}
    (model / "kaon-model.json").write_text(json.dumps(described))
    return {}


trained = steps.python("train", train, outputs={"model": "model"})
published = steps.publish("publish", "echo", model=trained["model"], outputs={"version": int})
workflow = Workflow("publishing", trained >> published, outputs={"version": published["version"]})
"""


def test_a_model_becomes_a_layout_beside_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KAON_PUBLISHER", raising=False)
    file, state = tmp_path / "workflow.py", tmp_path / "state"
    file.write_text(STEPS)
    for version in (1, 2):
        assert execute(["run", str(file), "--state", str(state)]) == 0
        assert f"version = {version}" in capfd.readouterr().out
    (layout,) = (state / "models").rglob("oci-layout")
    index = json.loads(layout.with_name("index.json").read_text())
    # The same model both times.
    assert len(index["manifests"]) == 1


def test_whoever_keeps_no_state_is_told_that_the_model_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KAON_PUBLISHER", raising=False)
    file = tmp_path / "workflow.py"
    file.write_text(STEPS)
    assert execute(["run", str(file)]) == 0
    assert "--state DIR keeps both" in capfd.readouterr().err
