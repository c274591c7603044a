"""The bound of a lock: the smallest that one of its holders, or of who waits before, asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kaon_coordinator.engine.scopes.locks import PREFIX


def bound_of(key: str, wanted: int, others: Iterable[int]) -> int:
    """Return the bound under which a wish for a key counts: who holds a mutex shares it with no semaphore.

    The bounds of other keys, such as a workflow's number of active runs, are those of the wish.

    Args:
        key: The key of the permit.
        wanted: The bound that comes with the wish; 0 means none.
        others: The bounds of the holders and of the wishes that go first; 0 means none.
    """
    if not wanted or not key.startswith(PREFIX):
        return wanted
    return min([wanted, *filter(None, others)])
