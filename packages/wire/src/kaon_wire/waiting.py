"""Waits of the main thread, which Ctrl-C and other signals reach."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")

# Seconds after which a thread that waits lets signals be handled that came as it went to sleep: those wake nobody.
_SIGNALS_SECONDS = 0.2


def taken(queue: SimpleQueue[T]) -> T:
    """Return the next item of a queue, as soon as there is one.

    The queue is C: no interrupt leaves it halfway.

    Raises:
        BaseException: What a handler of a signal raises, such as KeyboardInterrupt.
    """
    while True:
        try:
            return queue.get(timeout=_SIGNALS_SECONDS)
        except Empty:
            continue
