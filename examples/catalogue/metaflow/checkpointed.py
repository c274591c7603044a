"""A training that goes on from its last checkpoint after a failure: Metaflow's @checkpoint."""

from __future__ import annotations

from kaon import Retry, Workflow, steps
from kaon.step import StepContext


def train(context: StepContext) -> list[int]:
    """Saves each epoch, and is lost once in the third one."""
    done: list[int] = (context.last_checkpoint or {"done": []})["done"]
    for epoch in range(len(done), 5):
        if epoch == 3 and context.attempt == 1:
            raise ConnectionError("the machine has gone")
        done = [*done, context.attempt]
        context.checkpoint({"done": done})
        context.metric("loss", 1 / (epoch + 1), step=epoch)
    return done


training = steps.python(
    "train", train, outputs={"attempts": list[int]}, retry=Retry(max_attempts=2, backoff="1ms")
)

workflow = Workflow("checkpointed", training, outputs={"attempts": training["attempts"]})

EXPECTED = {"outputs": {"attempts": [1, 1, 1, 2, 2]}, "attempts": {"train": 2}}
