"""A run that failed goes on where it failed, and keeps what had succeeded: Metaflow's resume."""

from __future__ import annotations

import uuid
from pathlib import Path

from kaon import Workflow, param, steps


def load() -> str:
    """Gives something else each time."""
    return uuid.uuid4().hex


def check(place: str, loaded: str) -> bool:
    """Fails the first time, and then compares with what it got then."""
    seen = Path(place)
    if not seen.exists():
        seen.write_text(loaded)
        raise RuntimeError("mend me")
    return seen.read_text() == loaded


loading = steps.python("load", load, outputs={"value": str})
checking = steps.python(
    "check", check, place=param("place", str), loaded=loading["value"], outputs={"kept": bool}
)

workflow = Workflow("resume-flow", loading >> checking, outputs={"kept": checking["kept"]})

EXPECTED = {
    "params": {"place": "{tmp}/seen"},
    "retried_after": "FAILED",
    "outputs": {"kept": True},
}
