"""Permits in memory; who goes first is decided as `store.permits` does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from kaon_coordinator.store.base import Holder, PermitRecord, PermitWish
from kaon_coordinator.store.permit_sql import STALE_US
from kaon_coordinator.store.records import PermitRank

_Key: TypeAlias = tuple[str, str]


class MemoryPermits:
    """Who holds and who waits.

    Args:
        has_ended: whether a run has ended: then nobody would give back what it took.
    """

    def __init__(self, has_ended: Callable[[str], bool]) -> None:
        self._has_ended = has_ended
        self.bounds: dict[_Key, int] = {}
        self.holders: dict[_Key, set[Holder]] = defaultdict(set)
        # With the rank, and when it was asked last.
        self._waiting: dict[_Key, dict[Holder, tuple[PermitRank, int]]] = defaultdict(dict)

    def take(self, wishes: Sequence[PermitWish], now_us: int) -> list[bool]:
        """Grants what can be granted."""
        refused: set[frozenset[str]] = set()
        answers = []
        for wish in wishes:
            if self._has_ended(wish.holder.run_id):
                answers.append(False)
                continue
            free = wish.keys not in refused and all(
                self.is_free(key, wish, now_us) for key in _keys(wish)
            )
            free = free or all(wish.holder in self.holders[key] for key in _keys(wish))
            answers.append(free)
            if free:
                self._grant(wish)
            elif wish.keys not in refused:
                refused.add(wish.keys)
                for key in _keys(wish):
                    self._waiting[key][wish.holder] = wish.rank, now_us
        return answers

    def is_free(self, key: _Key, wish: PermitWish, now_us: int) -> bool:
        """Whether one more permit of the key is left for this wish."""
        holders = self.holders[key]
        if wish.holder in holders:
            return True
        bound = self.bounds.get(key, 0) or wish.bounds.get(key[1], 0)
        if not bound:
            return True
        mine = wish.rank
        ahead = sum(
            rank < mine
            and asked > now_us - STALE_US
            and holder != wish.holder
            and holder not in holders
            for holder, (rank, asked) in self._waiting[key].items()
        )
        return len(holders) + ahead < bound

    def _grant(self, wish: PermitWish) -> None:
        for key in _keys(wish):
            self.holders[key].add(wish.holder)
        for waiting in self._waiting.values():
            waiting.pop(wish.holder, None)

    def release(self, released: Iterable[Holder]) -> None:
        """Gives back whatever these hold; with a run goes everything in it."""
        for holder in released:
            for holders in self.holders.values():
                holders -= {each for each in holders if _belongs(each, holder)}
            for waiting in self._waiting.values():
                for each in [each for each in waiting if _belongs(each, holder)]:
                    del waiting[each]

    def set_bound(self, tenant: str, key: str, bound: int) -> PermitRecord:
        """Sets a key's bound."""
        self.bounds[tenant, key] = bound
        return PermitRecord(key=key, bound=bound, taken=len(self.holders[tenant, key]))

    def bounded(self, tenant: str) -> list[PermitRecord]:
        """The keys of a tenant that have a bound, by key."""
        return [
            PermitRecord(key=key, bound=bound, taken=len(self.holders[of, key]))
            for (of, key), bound in sorted(self.bounds.items())
            if of == tenant and bound > 0
        ]


def _belongs(each: Holder, holder: Holder) -> bool:
    return each == holder or (not holder.path and each.run_id == holder.run_id)


def _keys(wish: PermitWish) -> list[_Key]:
    return [(wish.tenant, key) for key in sorted(wish.keys)]
