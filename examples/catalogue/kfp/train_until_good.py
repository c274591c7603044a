"""Trains on and on, from the last model, until the error is low: Kubeflow Pipelines' samples/core/train_until_good."""

from __future__ import annotations

from pathlib import Path

from kaon import Workflow, last, repeat, steps
from kaon.step import Artifact, StepContext


def prepare() -> Path:
    """Makes a table of y = 2 x."""
    table = Path("table.csv")
    table.write_text("".join(f"{x},{2 * x}\n" for x in range(1, 6)))
    return table


def train(table: Artifact, starting_model: Artifact | None) -> Path:
    """Goes some steps down from where the last model stands."""
    weight = float(Path(starting_model).read_text()) if starting_model else 0.0
    rows = [tuple(map(float, line.split(","))) for line in Path(table).read_text().splitlines()]
    for _ in range(3):
        weight += 0.02 * sum((y - weight * x) * x for x, y in rows) / len(rows)
    model = Path("model.txt")
    model.write_text(str(weight))
    return model


def check(context: StepContext, table: Artifact, model: Artifact) -> dict[str, object]:
    """Measures the mean squared error."""
    weight = float(Path(model).read_text())
    rows = [tuple(map(float, line.split(","))) for line in Path(table).read_text().splitlines()]
    error = sum((y - weight * x) ** 2 for x, y in rows) / len(rows)
    context.metric("error", error)
    return {"error": error, "good": error < 0.01}


data = steps.python("prepare", prepare, outputs={"table": "dataset"})
training = steps.python(
    "train",
    train,
    table=data["table"],
    starting_model=last("train.model", None),
    outputs={"model": "model"},
)
checking = steps.python(
    "check",
    check,
    table=data["table"],
    model=training["model"],
    outputs={"error": float, "good": bool},
)

workflow = Workflow(
    "train-until-good",
    data >> repeat(training >> checking, until=checking["good"], max_iterations=20),
    outputs={"good": checking["good"]},
)

EXPECTED = {"outputs": {"good": True}, "count": {"train": 6, "prepare": 1}}
