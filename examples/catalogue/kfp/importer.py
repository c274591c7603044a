"""A dataset from outside as an input, and one that is imported by a condition: Kubeflow Pipelines' pipeline_with_importer.py."""

from __future__ import annotations

from pathlib import Path

from kaon import Workflow, branch, expr, param, steps, when
from kaon.step import Artifact


def train(dataset: Artifact) -> dict[str, object]:
    """Makes a model of what the file holds."""
    model = Path("model.txt")
    model.write_text(f"My model, trained on {Path(dataset).read_text().strip()}")
    return {"scalar": "123", "model": model}


def bring(address: str) -> Path:
    """Registers a file that another step or program has written."""
    return Path(address)


first = steps.python(
    "train-first",
    train,
    dataset=param("dataset", "dataset", description="-p dataset=@FILE"),
    outputs={"scalar": str, "model": "model"},
)
importing = steps.python(
    "import", bring, address=param("dataset2", str), outputs={"dataset": "dataset"}
)
second = steps.python(
    "train-second", train, dataset=importing["dataset"], outputs={"scalar": str, "model": "model"}
)

workflow = Workflow(
    "importer",
    first
    >> branch(when(expr("s == '123'", s=first["scalar"]), importing >> second), otherwise=None),
    outputs={"scalar": second["scalar"]},
)

EXPECTED = {
    "params": {"dataset": "@movies.csv", "dataset2": "{here}/movies.csv"},
    "outputs": {"scalar": "123"},
    "count": {"train-first": 1, "train-second": 1},
}
