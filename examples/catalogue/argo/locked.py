"""A mutex around a template, over all workflows: Argo's synchronization-mutex-tmpl-level.yaml."""

from __future__ import annotations

import os
from pathlib import Path

from kaon import Workflow, each, mutex, param, steps


def enter(place: str, number: int) -> int:
    """Fails when another one is inside."""
    lock = Path(place)
    lock.touch(exist_ok=False)
    os.sched_yield()
    lock.unlink()
    return number


item = each("number", [1, 2, 3, 4, 5])
acquire = steps.python(
    "acquire-lock",
    enter,
    place=param("place", str),
    number=item,
    outputs={"number": int},
    locks=[mutex("welcome")],
)

workflow = Workflow("synchronization-mutex", acquire**item, outputs={"all": acquire["number"]})

EXPECTED = {"params": {"place": "{tmp}/lock"}, "outputs": {"all": [1, 2, 3, 4, 5]}}
