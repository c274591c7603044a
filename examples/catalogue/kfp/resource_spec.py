"""Memory, cores and attempts that an earlier step and parameters say: Kubeflow Pipelines' runtime_resource_request.py."""

from __future__ import annotations

from kaon import Resources, Retry, Workflow, param, steps


def need() -> dict[str, object]:
    """Tells what training will take."""
    return {"memory": "64MiB", "cores": 0.5}


def train(size: int) -> int:
    """Uses a little memory."""
    return len(bytearray(size))


asking = steps.python("generate-resource-spec", need, outputs={"memory": str, "cores": float})
training = steps.python(
    "training",
    train,
    size=param("size", int, default=1_000_000),
    outputs={"size": int},
    resources=Resources(memory=asking["memory"], cpu=asking["cores"]),
    retry=Retry(max_attempts=param("attempts", int, default=2), backoff="1s"),
)

workflow = Workflow("resource-spec", asking >> training, outputs={"size": training["size"]})

EXPECTED = {"outputs": {"size": 1000000}, "attempts": {"training": 1}}
