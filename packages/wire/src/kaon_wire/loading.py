"""Loads a program's code quickly, and lets its process end quickly."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def loading(*, without: str = "") -> Iterator[None]:
    """Import without the collector, which would look through all that has been imported again and again, and find nothing.

    What has been imported stays until the process ends: the collector need not look at it later either, and at the
    end of the process it looks at nothing. Both together are a third of what the start and end of a service cost.

    Args:
        without: A package that counts as not installed meanwhile, unless it is loaded already. Services name rich: structlog
            loads it where it is installed, for the errors of a console, and their logs are JSON. It is a fifth of what a
            runner loads, and 4 MB.
    """
    # The values that Python itself takes for modules that must not be found.
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    hidden = bool(without) and without not in modules
    was_on = gc.isenabled()
    gc.disable()
    try:
        if hidden:
            modules[without] = None
        yield
        gc.freeze()
    finally:
        if hidden:
            del modules[without]
        if was_on:
            gc.enable()
    # Once, however often something is loaded.
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
