"""Permits: how many holders a key has at once.

A transaction locks the rows of its keys in order and then counts. So no race exceeds a bound, and no two
wishes for the same keys deadlock. Per partition, the first waiting wish for the same keys is recorded; no
other wish overtakes one that ranks before it, by priority and waiting time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sqlalchemy import ColumnElement, Connection, delete, func, select, tuple_

from kaon_coordinator.engine.scopes.run_permits import STRATEGY
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store import lock_sql, strategy_sql
from kaon_coordinator.store.bulk import Bulk, upsert
from kaon_coordinator.store.lock_bounds import bound_of
from kaon_coordinator.store.records import (
    Held,
    Holder,
    PermitAnswer,
    PermitRank,
    PermitRecord,
    PermitWish,
    permit_rank,
)
from kaon_coordinator.store.strategies import Refusal, Standing, Turn, Wait, standing, too_deep
from kaon_coordinator.store.submission_sql import Submissions
from kaon_coordinator.store.tables import permit_holds, permit_waits, permits, runs
from kaon_service.databases import Database

# Owners ask again every second. A wish that was not repeated for so long (its run has ended, its owner died)
# blocks no other.
STALE_US = 10_000_000

# (tenant, key)
_Key: TypeAlias = tuple[str, str]


@dataclass(kw_only=True)
class _Locked:
    """The keys of some wishes, with their rows locked."""

    bounds: dict[_Key, int]
    # Each with the bound that it asked for.
    holders: dict[_Key, dict[Holder, int]] = field(default_factory=lambda: defaultdict(dict))
    waiting: dict[_Key, dict[Holder, tuple[PermitRank, int]]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def is_free(self, key: _Key, wish: PermitWish) -> bool:
        """Tell whether a permit of the key is left for this wish."""
        if wish.holder in self.holders[key]:
            return True
        wanted = wish.bounds.get(key[1], 0)
        if not self.bounds[key] and not wanted:
            return True
        if key[1].startswith(STRATEGY):
            # The strategy says who goes first.
            return not self.holders[key]
        mine, holders = wish.rank, self.holders[key]
        ahead = [
            asked
            for holder, (rank, asked) in self.waiting[key].items()
            if rank < mine and holder != wish.holder and holder not in holders
        ]
        bound = self.bounds[key] or bound_of(key[1], wanted, [*holders.values(), *ahead])
        return len(holders) + len(ahead) < bound


@dataclass(kw_only=True)
class _Taking:
    """The wishes of one transaction."""

    locked: _Locked
    granted: list[PermitWish] = field(default_factory=list)
    refused: dict[frozenset[str], PermitWish] = field(default_factory=dict)

    def grant(self, wish: PermitWish) -> bool:
        """Grant a wish."""
        self.granted.append(wish)
        for key in _keys(wish):
            self.locked.holders[key].setdefault(wish.holder, wish.bounds.get(key[1], 0))
        return True

    def refuse(self, wish: PermitWish) -> bool:
        """Let a wish wait; the first one for its keys stands before those of other owners."""
        if wish.keys not in self.refused:
            self.refused[wish.keys] = wish
            for key in _keys(wish):
                self.locked.waiting[key][wish.holder] = wish.rank, wish.bounds.get(key[1], 0)
        return False


class Permits:
    """Takes permits."""

    def __init__(self, database: Database, submissions: Submissions) -> None:
        self._giving_way = strategy_sql.GivingWay(submissions)
        known = database.insert(permits).on_conflict_do_nothing()
        self._known = Bulk(database, known, ["tenant", "key", "bound"])
        held = database.insert(permit_holds).on_conflict_do_nothing()
        self._held = Bulk(database, held, [column.name for column in permit_holds.columns])
        self._waits = Bulk(
            database,
            upsert(database, permit_waits),
            [column.name for column in permit_waits.columns],
        )

    def take(
        self, connection: Connection, wishes: Sequence[PermitWish], now_us: int
    ) -> list[PermitAnswer]:
        """Grant what can be granted; the fence has been checked."""
        ended = _ended(connection, {wish.holder.run_id for wish in wishes})
        locked = self._lock(connection, {key for wish in wishes for key in _keys(wish)}, now_us)
        taking = _Taking(locked=locked)
        answers: list[PermitAnswer] = [
            wish.holder.run_id not in ended and self._take(connection, taking, wish, now_us)
            for wish in wishes
        ]
        self._write(connection, taking.granted, list(taking.refused.values()), now_us)
        return answers

    def _take(
        self, connection: Connection, taking: _Taking, wish: PermitWish, now_us: int
    ) -> PermitAnswer:
        locked = taking.locked
        # A holder whose grant was lost does not stand behind waiting wishes.
        if all(wish.holder in locked.holders[key] for key in _keys(wish)):
            return taking.grant(wish)
        if (refusal := lock_sql.refusal_of(connection, wish)) is not None:
            return refusal
        if wish.turn is not None:
            found = self._standing(connection, locked, wish, wish.turn, now_us)
            if found is not None:
                # Another run goes first, so the wish stands in nobody's way.
                return found if isinstance(found, Refusal) else False
        # A wish for the same keys stands behind the earlier one.
        if wish.keys not in taking.refused and all(
            locked.is_free(key, wish) for key in _keys(wish)
        ):
            return taking.grant(wish)
        refusal = _refusal_of_depth(connection, locked, wish)
        return taking.refuse(wish) if refusal is None else refusal

    def _standing(
        self, connection: Connection, locked: _Locked, wish: PermitWish, turn: Turn, now_us: int
    ) -> Standing:
        me = strategy_sql.contender(connection, wish.holder.run_id)
        if me is None:
            return None
        key = (wish.tenant, f"{STRATEGY}{turn.workflow}")
        holders = sorted(holder.run_id for holder in locked.holders[key])
        field = strategy_sql.field_of(connection, wish.tenant, me, turn, holders)
        self._giving_way.apply(connection, me, turn, field, now_us)
        found = standing(me, turn, field)
        if isinstance(found, Wait):
            refusal = strategy_sql.refusal_in_circle(
                connection, wish.tenant, me, turn, found.run_id
            )
            return found if refusal is None else refusal
        return found

    def _lock(self, connection: Connection, keys: Collection[_Key], now_us: int) -> _Locked:
        ordered = sorted(keys)
        self._known.execute(connection, [(*key, 0) for key in ordered])
        mine = tuple_(permits.c.tenant, permits.c.key).in_(ordered)
        rows = connection.execute(
            select(permits).where(mine).order_by(permits.c.tenant, permits.c.key).with_for_update()
        )
        locked = _Locked(bounds={(row.tenant, row.key): row.bound for row in rows})
        held = tuple_(permit_holds.c.tenant, permit_holds.c.key).in_(ordered)
        for row in connection.execute(select(permit_holds).where(held)):
            locked.holders[row.tenant, row.key][Holder(run_id=row.run_id, path=row.path)] = (
                row.bound
            )
        waits = tuple_(permit_waits.c.tenant, permit_waits.c.key).in_(ordered)
        fresh = permit_waits.c.asked_us > now_us - STALE_US
        for row in connection.execute(select(permit_waits).where(waits, fresh)):
            holder = Holder(run_id=row.run_id, path=row.path)
            rank = permit_rank(holder, row.priority, row.since_us)
            locked.waiting[row.tenant, row.key][holder] = rank, row.bound
        return locked

    def _write(
        self,
        connection: Connection,
        granted: Sequence[PermitWish],
        refused: Sequence[PermitWish],
        now_us: int,
    ) -> None:
        taken = [
            (*_holder(wish), key, tenant, wish.bounds.get(key, 0))
            for wish in granted
            for tenant, key in _keys(wish)
        ]
        self._held.execute(connection, taken)
        if granted:
            waited = tuple_(permit_waits.c.run_id, permit_waits.c.path)
            connection.execute(
                delete(permit_waits).where(waited.in_([_holder(wish) for wish in granted]))
            )
        waits = [
            (
                *_holder(wish),
                key,
                tenant,
                wish.priority,
                wish.since_us,
                now_us,
                wish.bounds.get(key, 0),
            )
            for wish in refused
            for tenant, key in _keys(wish)
        ]
        self._waits.execute(connection, waits)


def _refusal_of_depth(connection: Connection, locked: _Locked, wish: PermitWish) -> Refusal | None:
    """Return why a run waits for runs around it, which wait for it."""
    around = strategy_sql.ancestors(connection, wish.holder.run_id) if not wish.holder.path else {}
    for tenant, key in _keys(wish) if around else ():
        bound = locked.bounds[tenant, key] or wish.bounds.get(key, 0)
        holders = sorted(holder.run_id for holder in locked.holders[tenant, key])
        if (refusal := too_deep(key, bound, holders, around)) is not None:
            return refusal
    return None


def _ended(connection: Connection, run_ids: Collection[str]) -> set[str]:
    """Return the runs that have ended: they would never release a permit."""
    done = (runs.c.run_id.in_(sorted(run_ids)), runs.c.status.in_(t.TERMINAL))
    return set(connection.execute(select(runs.c.run_id).where(*done)).scalars())


def release(connection: Connection, holders: Collection[Holder]) -> None:
    """Release all permits of these holders and remove their wishes.

    A run releases those of its steps, too.
    """
    whole = sorted({holder.run_id for holder in holders if not holder.path})
    steps = sorted({(holder.run_id, holder.path) for holder in holders if holder.path})
    for table in (permit_holds, permit_waits):
        if whole:
            connection.execute(delete(table).where(table.c.run_id.in_(whole)))
        if steps:
            connection.execute(delete(table).where(tuple_(table.c.run_id, table.c.path).in_(steps)))


def set_bound(
    database: Database, connection: Connection, tenant: str, key: str, bound: int
) -> PermitRecord:
    """Set a key's bound; present holders keep their permits."""
    row = database.insert(permits).values(tenant=tenant, key=key, bound=bound)
    connection.execute(
        row.on_conflict_do_update(
            index_elements=["tenant", "key"], set_={"bound": row.excluded.bound}
        )
    )
    (record,) = _records(connection, (permits.c.tenant == tenant) & (permits.c.key == key))
    return record


def holders_of(connection: Connection, tenant: str, keys: Collection[str]) -> dict[str, Held]:
    """Return the holders of some keys that have any, by key."""
    mine = (permit_holds.c.tenant == tenant, permit_holds.c.key.in_(sorted(keys)))
    order = (permit_holds.c.key, permit_holds.c.run_id, permit_holds.c.path)
    found: dict[str, list[tuple[Holder, int]]] = defaultdict(list)
    for row in connection.execute(select(permit_holds).where(*mine).order_by(*order)):
        found[row.key].append((Holder(run_id=row.run_id, path=row.path), row.bound))
    return {
        key: Held(
            holders=[holder for holder, _ in held],
            bound=min(filter(None, (bound for _, bound in held)), default=0),
        )
        for key, held in found.items()
    }


def bounded(
    connection: Connection, tenant: str, after: str = "", limit: int | None = None
) -> list[PermitRecord]:
    """Return at most `limit` of a tenant's keys that have a bound after one, by key."""
    mine = (permits.c.tenant == tenant) & (permits.c.bound > 0) & (permits.c.key > after)
    return _records(connection, mine, limit)


def _records(
    connection: Connection, chosen: ColumnElement[bool], limit: int | None = None
) -> list[PermitRecord]:
    same = (permit_holds.c.tenant == permits.c.tenant) & (permit_holds.c.key == permits.c.key)
    taken = select(func.count()).select_from(permit_holds).where(same).scalar_subquery()
    query = select(permits.c.key, permits.c.bound, taken.label("taken")).where(chosen)
    rows = connection.execute(query.order_by(permits.c.key).limit(limit))
    return [PermitRecord(key=row.key, bound=row.bound, taken=row.taken) for row in rows]


def _keys(wish: PermitWish) -> list[_Key]:
    return [(wish.tenant, key) for key in sorted(wish.keys)]


def _holder(wish: PermitWish) -> tuple[str, str]:
    return wish.holder.run_id, wish.holder.path
