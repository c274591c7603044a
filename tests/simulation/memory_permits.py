"""Permits in memory; who goes first is decided as `store.permits` does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from kaon_coordinator.engine.scopes.run_permits import STRATEGY
from kaon_coordinator.engine.state.paths import at_or_under
from kaon_coordinator.store.base import Holder, PermitRecord, PermitWish
from kaon_coordinator.store.lock_bounds import bound_of
from kaon_coordinator.store.lock_order import refusal
from kaon_coordinator.store.permit_sql import STALE_US
from kaon_coordinator.store.records import Held, PermitAnswer, PermitRank
from kaon_coordinator.store.strategies import Refusal, Standing, Turn, Wait, too_deep

from .memory_strategies import MemoryStrategies

_Key: TypeAlias = tuple[str, str]


class MemoryPermits:
    """Who holds and who waits.

    Args:
        has_ended: whether a run has ended: then nobody would give back what it took.
        strategies: what submit strategies say about runs.
    """

    def __init__(self, has_ended: Callable[[str], bool], strategies: MemoryStrategies) -> None:
        self._has_ended = has_ended
        self._strategies = strategies
        self.bounds: dict[_Key, int] = {}
        # Each with the bound that it asked for.
        self.holders: dict[_Key, dict[Holder, int]] = defaultdict(dict)
        # With the rank, when it was asked last, and the bound.
        self._waiting: dict[_Key, dict[Holder, tuple[PermitRank, int, int]]] = defaultdict(dict)

    def take(self, wishes: Sequence[PermitWish], now_us: int) -> list[PermitAnswer]:
        """Grants what can be granted."""
        refused: set[frozenset[str]] = set()
        return [
            not self._has_ended(wish.holder.run_id) and self._take(wish, refused, now_us)
            for wish in wishes
        ]

    def _take(self, wish: PermitWish, refused: set[frozenset[str]], now_us: int) -> PermitAnswer:
        if all(wish.holder in self.holders[key] for key in _keys(wish)):
            self._grant(wish)
            return True
        if (problem := refusal(wish.keys, self._around(wish))) is not None:
            return problem
        if wish.turn is not None:
            tenant, run_id, turn = wish.tenant, wish.holder.run_id, wish.turn
            found = self.standing(tenant, run_id, turn)
            self._strategies.give_way(tenant, run_id, turn, self._held(tenant, turn), now_us)
            if isinstance(found, Wait):
                problem = self._strategies.refusal_in_circle(run_id, turn, found.run_id)
                found = found if problem is None else problem
            if found is not None:
                return found if isinstance(found, Refusal) else False
        if wish.keys not in refused and all(self.is_free(key, wish, now_us) for key in _keys(wish)):
            self._grant(wish)
            return True
        if (problem := self._too_deep(wish)) is not None:
            return problem
        if wish.keys not in refused:
            refused.add(wish.keys)
            for key in _keys(wish):
                asked = wish.bounds.get(key[1], 0)
                self._waiting[key][wish.holder] = wish.rank, now_us, asked
        return False

    def _too_deep(self, wish: PermitWish) -> Refusal | None:
        if wish.holder.path:
            return None
        around = [run_id for run_id, _ in self._strategies.places(wish.holder.run_id)]
        for key in _keys(wish):
            bound = self.bounds.get(key, 0) or wish.bounds.get(key[1], 0)
            holders = sorted(each.run_id for each in self.holders[key])
            if (problem := too_deep(key[1], bound, holders, around)) is not None:
                return problem
        return None

    def standing(self, tenant: str, run_id: str, turn: Turn) -> Standing:
        """What its workflow's strategy says about a run."""
        return self._strategies.standing(tenant, run_id, turn, self._held(tenant, turn))

    def _around(self, wish: PermitWish) -> Iterator[tuple[Holder, str]]:
        """The permits of the blocks around the run, in its ancestors."""
        for run_id, path in self._strategies.places(wish.holder.run_id):
            for (_, key), holders in sorted(self.holders.items()):
                for holder in sorted(holders, key=str):
                    if holder.run_id == run_id and holder.path and at_or_under(path, holder.path):
                        yield holder, key

    def _held(self, tenant: str, turn: Turn) -> list[str]:
        return [each.run_id for each in self.holders[tenant, f"{STRATEGY}{turn.workflow}"]]

    def is_free(self, key: _Key, wish: PermitWish, now_us: int) -> bool:
        """Whether one more permit of the key is left for this wish."""
        holders = self.holders[key]
        if wish.holder in holders:
            return True
        wanted = wish.bounds.get(key[1], 0)
        if not self.bounds.get(key, 0) and not wanted:
            return True
        if key[1].startswith(STRATEGY):
            return not holders
        mine = wish.rank
        ahead = [
            bound
            for holder, (rank, asked, bound) in self._waiting[key].items()
            if rank < mine
            and asked > now_us - STALE_US
            and holder != wish.holder
            and holder not in holders
        ]
        most = self.bounds.get(key, 0) or bound_of(key[1], wanted, [*holders.values(), *ahead])
        return len(holders) + len(ahead) < most

    def _grant(self, wish: PermitWish) -> None:
        for key in _keys(wish):
            self.holders[key].setdefault(wish.holder, wish.bounds.get(key[1], 0))
        for waiting in self._waiting.values():
            waiting.pop(wish.holder, None)

    def release(self, released: Iterable[Holder]) -> None:
        """Gives back whatever these hold; with a run goes everything in it."""
        for holder in released:
            for holders in self.holders.values():
                for each in [each for each in holders if _belongs(each, holder)]:
                    del holders[each]
            for waiting in self._waiting.values():
                for each in [each for each in waiting if _belongs(each, holder)]:
                    del waiting[each]

    def holders_of(self, tenant: str, keys: Iterable[str]) -> dict[str, Held]:
        """Who holds some keys."""
        return {
            key: Held(
                holders=sorted(holders, key=str),
                bound=min(filter(None, holders.values()), default=0),
            )
            for key in sorted(keys)
            if (holders := self.holders[tenant, key])
        }

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
