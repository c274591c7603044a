"""Python's garbage collector, kept from looking through what stays.

A run's state is many small objects that live as long as the run. The collector's full passes look through all of them again
whenever their number has grown by a quarter: taking over 100,000 steps took it as long as everything else together.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collection() -> Iterator[None]:
    """Collects nothing meanwhile: for a bounded piece of work that makes many objects that stay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def collect_seldom() -> None:
    """For a process that keeps many states: young objects are looked through after 20,000 new ones instead of 700, and what the
    program itself consists of never again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
