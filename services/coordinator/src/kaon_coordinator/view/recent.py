"""What was used lately, kept in memory: within a bound, and for as long as somebody goes on using it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# After so many seconds without a use an entry goes: who opens the page of a run again waits for it to be read once more.
IDLE_SECONDS = 120.0


class Recent(Generic[K, V]):
    """Entries by key, of which those go first that were used least lately. Several threads may use it.

    Args:
        most: how much all entries may weigh together. The entry that was used last is kept whatever its weight.
        weight: how much an entry weighs at the moment; entries grow.
        clock: seconds, monotonic.
    """

    def __init__(
        self, *, most: int, weight: Callable[[V], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._weight = weight
        self._clock = clock
        self._lock = threading.Lock()
        # Each with the time of its last use; what was used last comes last.
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def peek(self, key: K) -> V | None:
        """Return an entry, without using it; None where there is none."""
        with self._lock:
            known = self._kept.get(key)
            return None if known is None else known[1]

    def get(self, key: K) -> V | None:
        """Use an entry; None where there is none."""
        with self._lock:
            known = self._kept.get(key)
            return None if known is None else self._use(key, known[1])

    def put(self, key: K, value: V) -> None:
        """Keep an entry in place of the one before."""
        with self._lock:
            self._use(key, value)
            self._limit()

    def get_or_put(self, key: K, make: Callable[[], V]) -> V:
        """Use an entry; where there is none, make it and keep it."""
        with self._lock:
            known = self._kept.get(key)
            value = self._use(key, make() if known is None else known[1])
            self._limit()
            return value

    def drop(self, key: K) -> None:
        """Forget an entry."""
        with self._lock:
            self._kept.pop(key, None)

    def sweep(self, in_use: Iterable[K] = ()) -> None:
        """Forget what nobody has used for `IDLE_SECONDS`, and what has grown beyond the bound.

        Args:
            in_use: what somebody waits for the next change of: it counts as used now.
        """
        oldest = self._clock() - IDLE_SECONDS
        with self._lock:
            for key in in_use:
                if key in self._kept:
                    self._use(key, self._kept[key][1])
            for key in [key for key, (used, _) in self._kept.items() if used < oldest]:
                del self._kept[key]
            self._limit()

    def _use(self, key: K, value: V) -> V:
        self._kept[key] = (self._clock(), value)
        self._kept.move_to_end(key)
        return value

    def _limit(self) -> None:
        total = sum(self._weight(value) for _, value in self._kept.values())
        while total > self._most and len(self._kept) > 1:
            _, (_, value) = self._kept.popitem(last=False)
            total -= self._weight(value)
