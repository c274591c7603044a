"""A name for one execution of a step that nothing else has, for what it leaves outside of its processes."""

from __future__ import annotations

import hashlib


def lease_id(scratch: str) -> str:
    """64 hexadecimal digits for the execution whose scratch directory is `scratch`.

    That URL names the run, the step, its attempt and generation, and the life of the runner: two runners that are both told to
    start a step must not end each other's containers and sessions.
    """
    return hashlib.sha256(scratch.encode()).hexdigest()
