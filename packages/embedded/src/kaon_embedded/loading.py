"""Loads the system's code quickly."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Import without the collector, which would look through all that has been imported again and again, and find nothing.

    What has been imported stays until the process ends: the collector need not look at it later either.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
