"""A unique name for one execution of a step, for its resources outside of its processes."""

from __future__ import annotations

import hashlib


def lease_id(scratch: str) -> str:
    """Return 64 hexadecimal digits for the execution whose scratch directory is `scratch`.

    That URL names the run, the step, its attempt and generation, and the runner's incarnation: two runners
    that both start a step must not end each other's containers and sessions.
    """
    return hashlib.sha256(scratch.encode()).hexdigest()
