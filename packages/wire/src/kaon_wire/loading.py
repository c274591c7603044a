"""Loads a program's code quickly, and lets its process end quickly."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Import without the collector, which would look through all that has been imported again and again, and find nothing.

    What has been imported stays until the process ends: the collector need not look at it later either, and at the
    end of the process it looks at nothing. Both together are a third of what the start and end of a service cost.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_on:
            gc.enable()
    # Once, however often something is loaded.
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
