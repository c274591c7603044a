"""Signals to all runs of a tenant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, select, tuple_

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.bulk import Bulk
from kaon_coordinator.store.records import Hearer, LeftOut, Message, SentSignal
from kaon_coordinator.store.submission_sql import Submissions
from kaon_coordinator.store.tables import blocks, runs, sent_signals
from kaon_service.databases import Database
from kaon_wire import canonical
from kaonapi.run.v1 import command_pb2, run_pb2

_S = sent_signals.c
_COLUMNS = tuple(column.name for column in sent_signals.columns)
# Named one by one, so that the index by tenant and status serves.
_OPEN = sorted(set(run_pb2.Status.values()) - t.TERMINAL)
_OVER = sorted(int(status) for status in t.TERMINAL)
# Runs that one query names.
_TOGETHER = 500


class Signals:
    """Sends signals, each once."""

    def __init__(self, database: Database, submissions: Submissions) -> None:
        self._submissions = submissions
        new = database.insert(sent_signals).on_conflict_do_nothing()
        self._add = Bulk(database, new, _COLUMNS)

    def send(
        self,
        connection: Connection,
        signal: SentSignal,
        commands: Sequence[command_pb2.RunCommand],
        waiting: Collection[str],
    ) -> tuple[SentSignal, Sequence[int] | None]:
        """Store a signal and its commands, unless its key is taken."""
        places = dict(_still_open(connection, [each.run_id for each in commands]))
        kept = replace(
            signal, runs=len(places), waiting=sum(run_id in places for run_id in waiting)
        )
        if not self._add.execute(connection, [_values(kept)]):
            first = find(connection, signal.tenant, signal.key)
            assert first is not None
            return first, None
        reached = [each for each in commands if each.run_id in places]
        self._submissions.tell(
            connection,
            [Message(run_id=each.run_id, command=each, now_us=signal.time_us) for each in reached],
        )
        return kept, sorted(set(places.values()))


def find(connection: Connection, tenant: str, key: str) -> SentSignal | None:
    """Return the signal of a key."""
    query = select(sent_signals).where(_S.tenant == tenant, _S.key == key)
    found = connection.execute(query).first()
    return None if found is None else _signal(found)


def open_versions(connection: Connection, tenant: str) -> list[tuple[str, str]]:
    """Return the workflows and versions of the open runs of a tenant."""
    query = select(runs.c.workflow, runs.c.version).distinct()
    query = query.where(runs.c.tenant == tenant, runs.c.status.in_(_OPEN))
    return [
        (row.workflow, row.version)
        for row in connection.execute(query.order_by(runs.c.workflow, runs.c.version))
    ]


def hearers(
    connection: Connection,
    tenant: str,
    workflow: str,
    version: str,
    gates: Collection[str],
    around: Collection[str],
    limit: int,
) -> list[Hearer]:
    """Return the runs of a version that may hear a signal, oldest first."""
    query = select(runs.c.run_id, runs.c.params).where(
        runs.c.tenant == tenant,
        runs.c.status.in_(_OPEN),
        runs.c.workflow == workflow,
        runs.c.version == version,
    )
    found = connection.execute(query.order_by(runs.c.create_us, runs.c.run_id)).all()
    heard: list[Hearer] = []
    for part in _parts(found):
        ids = [row.run_id for row in part]
        over = _over(connection, ids, around)
        waits = _waiting(connection, ids, gates)
        heard += [
            Hearer(
                run_id=row.run_id,
                params=canonical.loads(row.params),
                waits=row.run_id in waits,
            )
            for row in part
            if row.run_id not in over
        ]
        if len(heard) >= limit:
            break
    return heard[:limit]


def remove_old(connection: Connection, before_us: int, limit: int) -> list[str]:
    """Delete signals from before a time."""
    old = select(_S.tenant, _S.key).where(_S.time_us < before_us).order_by(_S.time_us).limit(limit)
    found = [(row.tenant, row.key) for row in connection.execute(old)]
    if found:
        connection.execute(delete(sent_signals).where(tuple_(_S.tenant, _S.key).in_(found)))
    return [key for _, key in found]


def _over(connection: Connection, ids: Sequence[str], around: Collection[str]) -> set[str]:
    """Return the runs in which all of these blocks have ended."""
    query = select(blocks.c.run_id, blocks.c.path).where(
        blocks.c.run_id.in_(ids), blocks.c.path.in_(sorted(around)), blocks.c.status.in_(_OVER)
    )
    ended: dict[str, int] = {}
    for row in connection.execute(query):
        ended[row.run_id] = ended.get(row.run_id, 0) + 1
    return {run_id for run_id, count in ended.items() if count == len(around)}


def _waiting(connection: Connection, ids: Sequence[str], gates: Collection[str]) -> set[str]:
    """Return the runs in which one of these gates waits."""
    query = select(blocks.c.run_id, blocks.c.path).where(
        blocks.c.run_id.in_(ids), blocks.c.kind == "gate", blocks.c.status == int(t.WAITING)
    )
    return {row.run_id for row in connection.execute(query) if row.path.rsplit("/", 1)[-1] in gates}


def _still_open(connection: Connection, ids: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield those of the runs that have not ended, with their partitions, and keep them from being deleted meanwhile."""
    for part in _parts(sorted(ids)):
        query = select(runs.c.run_id, runs.c.partition).where(
            runs.c.run_id.in_(part), runs.c.status.in_(_OPEN)
        )
        locked = query.order_by(runs.c.run_id).with_for_update(read=True, key_share=True)
        for row in connection.execute(locked):
            yield row.run_id, row.partition


def _parts(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[first : first + _TOGETHER] for first in range(0, len(values), _TOGETHER))


def _values(signal: SentSignal) -> tuple[object, ...]:
    left_out = canonical.dumps([vars(each) for each in signal.left_out])
    values = {**vars(signal), "left_out": left_out}
    return tuple(values[name] for name in _COLUMNS)


def _signal(row: Row[Any]) -> SentSignal:
    values = dict(row._mapping)
    left_out = [LeftOut(**each) for each in canonical.loads(values.pop("left_out"))]
    return SentSignal(**values, left_out=left_out)
