"""A step in a container of its own, which reads what another step has left and follows the step protocol by itself."""

from __future__ import annotations

from pathlib import Path

from kaon import Workflow, param, steps
from kaon.step import StepContext

PROGRAM = """
import json, os
place = os.environ["KAON_STEP_DIR"]
context = json.load(open(f"{place}/context.json"))
numbers = open(context["inputs"]["numbers"]["artifact"]["path"]).read().split()
json.dump(sum(map(int, numbers)), open(f"{place}/outputs/total.json", "w"))
"""


def write(context: StepContext, count: int) -> None:
    Path(context.artifact_path("numbers")).write_text(" ".join(["14"] * count))


def docker_flow(image: str) -> Workflow:
    """The image is known only when the test runs."""
    written = steps.python(
        "write", write, count=param("count", int, default=3), outputs={"numbers": "file"}
    )
    inside = steps.docker(
        "inside",
        image,
        argv=["python3", "-c", PROGRAM],
        numbers=written["numbers"],
        outputs={"total": int},
    )
    return Workflow("docker-step", written >> inside)
