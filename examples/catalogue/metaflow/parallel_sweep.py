"""A grid of trials whose best one is kept, each with its own model: Metaflow's foreach for hyperparameter search."""

from __future__ import annotations

from pathlib import Path

from kaon import Workflow, each, grid, steps
from kaon.step import Artifact, StepContext


def fit(context: StepContext, depth: int, rate: float) -> dict[str, object]:
    """Trains one trial."""
    loss = abs(depth - 3) + abs(rate - 0.1)
    context.metric("loss", loss)
    model = Path("model.txt")
    model.write_text(f"depth {depth}, rate {rate}")
    return {"loss": loss, "model": model}


def best(losses: list[float], models: list[Artifact]) -> str:
    """Takes the model of the smallest loss."""
    return Path(models[losses.index(min(losses))]).read_text()


trial = each("trial", grid(depth=[2, 3, 4], rate=[0.01, 0.1]), max_concurrency=3)
fitting = steps.python(
    "fit", fit, depth=trial["depth"], rate=trial["rate"], outputs={"loss": float, "model": "model"}
)
choosing = steps.python(
    "best", best, losses=fitting["loss"], models=fitting["model"], outputs={"text": str}
)

workflow = Workflow(
    "parallel-sweep", fitting**trial >> choosing, outputs={"best": choosing["text"]}
)

EXPECTED = {"outputs": {"best": "depth 3, rate 0.1"}, "count": {"fit": 6}}
