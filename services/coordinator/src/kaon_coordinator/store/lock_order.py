"""The order in which a run and the runs around it take locks, so that no two of them wait for each other. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kaon_coordinator.engine.scopes.locks import PREFIX
from kaon_coordinator.store.records import Holder
from kaon_coordinator.store.strategies import DEADLOCK, Refusal


def names(keys: Iterable[str]) -> set[str]:
    """Return the names of the locks among some keys of permits."""
    return {key[len(PREFIX) :].partition("/")[0] for key in keys if key.startswith(PREFIX)}


def refusal(keys: Iterable[str], around: Iterable[tuple[Holder, str]]) -> Refusal | None:
    """Return why locks may not be taken inside of blocks that hold others.

    Args:
        keys: The wanted permits.
        around: The holders around, each with the key of a permit.
    """
    wanted = names(keys)
    if not wanted:
        return None
    first = min(wanted)
    for holder, key in around:
        for held in names([key]):
            if held >= first:
                where = f"{holder.path} of run {holder.run_id}, around it,"
                text = (
                    f"{where} holds lock {held!r}, and {first!r} is taken inside: inner locks come after outer ones "
                    "in the order of their names"
                )
                return Refusal(kind=DEADLOCK, text=text)
    return None
