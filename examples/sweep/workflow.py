"""A sweep: every combination of learning rate and decay is tried, and those that do badly are stopped early.

kaon run examples/sweep/workflow.py
"""

import fitting

from kaon import Workflow, each, grid, halving, param, steps

trial = each(
    "trial",
    grid(rate=[0.5, 0.1, 0.02, 0.004], decay=[0.0, 0.1]),
    max_concurrency=2,
    # At epochs 2, 4, 8, ... a trial goes on only when it is among the better half of those that came so far.
    stop_early=halving("loss", eta=2, min_step=2),
)
train = steps.python(
    "train",
    fitting.train,
    rate=trial["rate"],
    decay=trial["decay"],
    epochs=param("epochs", int, default=40),
    outputs={"loss": float},
)
choose = steps.python(
    "choose", fitting.choose, losses=train["loss"], outputs={"best": float, "stopped": int}
)

workflow = Workflow(
    "sweep", train**trial >> choose, outputs={"best": choose["best"], "stopped": choose["stopped"]}
)
