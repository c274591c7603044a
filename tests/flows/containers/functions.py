"""Functions of the workflows that run in containers: they need nothing but the standard library."""

from __future__ import annotations

import json
import time
from pathlib import Path

from kaon.step import StepContext

SERVE = """
class Model:
    def __init__(self, path):
        self.factor = {factor}

    def predict(self, request):
        return {{"y": request["x"] * self.factor}}
"""


def split(count: int) -> dict[str, list[int]]:
    return {"items": list(range(count))}


def work(item: int, seconds: float) -> dict[str, int]:
    time.sleep(seconds)
    return {"item": item}


def count(items: list[int]) -> dict[str, int]:
    return {"count": len(items)}


def make_model(context: StepContext, factor: float) -> None:
    """A model that multiplies x."""
    directory = Path(context.artifact_path("model"))
    directory.mkdir(parents=True)
    probe = {"request": {"x": 2}, "expected": {"y": 2 * factor}}
    metadata = {"format": 1, "entry": "serve:Model", "probe": probe}
    (directory / "kaon-model.json").write_text(json.dumps(metadata))
    (directory / "serve.py").write_text(SERVE.format(factor=factor))
