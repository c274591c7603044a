"""Functions with several outputs, artifacts and parameters side by side: Kubeflow Pipelines' lightweight_python_functions."""

from __future__ import annotations

import json
from pathlib import Path

from kaon import Workflow, param, steps
from kaon.step import Artifact, StepContext


def preprocess(
    context: StepContext, message: str, words: dict[str, int], numbers: list[int]
) -> dict[str, object]:
    """Writes two files, and gives values of several types."""
    context.artifact_path("one", ".txt").write_text(message)
    two = Path("two.json")
    two.write_text(json.dumps(numbers))
    return {"two": two, "text": message, "truth": True, "words": words, "numbers": numbers}


def train(
    context: StepContext, one: Artifact, two: Artifact, truth: bool, words: dict[str, int]
) -> Path:
    """Reads what it gets by path and by value."""
    context.metric("accuracy", 0.9)
    model = Path("model")
    model.mkdir()
    total = sum(json.loads(Path(two).read_text())) + sum(words.values())
    (model / "weights.json").write_text(json.dumps({"total": total, "truth": truth}))
    (model / "README").write_text(Path(one).read_text())
    return model


def read(model: Artifact) -> int:
    """Looks into the model, which is a directory."""
    total: int = json.loads(Path(model, "weights.json").read_text())["total"]
    return total


before = steps.python(
    "preprocess",
    preprocess,
    message=param("message", str, default="message"),
    words={"A": 1, "B": 2},
    numbers=param("numbers", list[int], default=[1, 2, 3]),
    outputs={
        "one": "dataset",
        "two": "dataset",
        "text": str,
        "truth": bool,
        "words": dict[str, int],
        "numbers": list[int],
    },
)
training = steps.python(
    "train",
    train,
    one=before["one"],
    two=before["two"],
    truth=before["truth"],
    words=before["words"],
    outputs={"model": "model"},
)
reading = steps.python("read", read, model=training["model"], outputs={"total": int})

workflow = Workflow(
    "lightweight-components", before >> training >> reading, outputs={"total": reading["total"]}
)

EXPECTED = {"params": {"numbers": [10, 20]}, "outputs": {"total": 33}}
