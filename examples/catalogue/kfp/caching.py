"""Results that are taken from the run before, and a step that never is: Kubeflow Pipelines' samples/core/caching."""

from __future__ import annotations

from kaon import Workflow, param, steps


def work(seconds: float) -> float:
    """Does expensive work."""
    return seconds * 2


seconds = param("seconds", float, default=60.0)
cached = steps.python("do-work", work, seconds=seconds, outputs={"x": float}, memo=True)
always = steps.python("do-work-again", work, seconds=cached["x"], outputs={"x": float})

workflow = Workflow("caching-pipeline", cached >> always, outputs={"x": always["x"]})

EXPECTED = [
    {"outputs": {"x": 240.0}, "memo": []},
    {"outputs": {"x": 240.0}, "memo": ["do-work"]},
    {"params": {"seconds": 1.0}, "outputs": {"x": 4.0}, "memo": []},
]
