"""The updates of datasets, and the runs that they started."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from kaon_coordinator.store.bulk import Bulk
from kaon_coordinator.store.records import DatasetRecord, DatasetUpdate, KeptUpdate, NewRun
from kaon_coordinator.store.tables import dataset_runs, dataset_updates, partitions
from kaon_service.databases import Database
from kaon_wire import canonical

_U = dataset_updates.c
_COLUMNS = tuple(column.name for column in dataset_updates.columns if column.name != "update_id")


class DatasetUpdates:
    """Adds updates, each once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        new = database.insert(dataset_updates).values(dict.fromkeys(_COLUMNS))
        # A new owner may make the event of a lost commit again, never that of a stored one.
        self._add = Bulk(database, new.on_conflict_do_nothing(), _COLUMNS)

    def add(self, connection: Connection, new: Iterable[tuple[int, DatasetUpdate]]) -> None:
        """Store updates, each with its partition, whose fence the caller holds."""
        self._add.execute(connection, [_values(*each) for each in new])

    def record(
        self, connection: Connection, partition: int, told: DatasetUpdate
    ) -> tuple[KeptUpdate, bool]:
        """Store what somebody told; return it with True, or the earlier update of its key with False."""
        self._hold(connection, partition)
        mine = (_U.tenant == told.tenant, _U.dataset == told.dataset, _U.key == told.key)
        query = select(dataset_updates).where(*mine)
        found = connection.execute(query).first()
        if found is None:
            self.add(connection, [(partition, told)])
            return _kept(connection.execute(query).one()), True
        return _with_runs(connection, [found])[0], False

    def _hold(self, connection: Connection, partition: int) -> None:
        """Keep all others from adding updates to a partition until the transaction ends, as its owner's fence does."""
        first = self._database.insert(partitions).values(partition=partition, epoch=0, owner="")
        connection.execute(first.on_conflict_do_nothing())
        held = update(partitions).where(partitions.c.partition == partition)
        connection.execute(held.values(epoch=partitions.c.epoch))


def note_runs(connection: Connection, created: Iterable[NewRun]) -> None:
    """Store because of which updates runs were made."""
    rows = [
        {"update_id": update_id, "run_id": run.run_id}
        for run in created
        for update_id in dict.fromkeys(run.because_of)
    ]
    if rows:
        connection.execute(insert(dataset_runs), rows)


def since(
    connection: Connection,
    tenant: str,
    dataset: str,
    since_us: int,
    positions: Mapping[int, int],
    limit: int,
) -> list[KeptUpdate]:
    """Return the updates from a time on that are not known yet, in the order of their ids."""
    unknown: ColumnElement[bool] = or_(
        _U.partition.not_in(sorted(positions)),
        *(
            and_(_U.partition == partition, _U.update_id > last)
            for partition, last in sorted(positions.items())
        ),
    )
    mine = (_U.tenant == tenant, _U.dataset == dataset, _U.time_us >= since_us, unknown)
    query = select(dataset_updates).where(*mine).order_by(_U.update_id).limit(limit)
    return [_kept(row) for row in connection.execute(query)]


def of_tenant(
    connection: Connection, tenant: str, after: str = "", limit: int = 1, name: str = ""
) -> list[DatasetRecord]:
    """Return datasets of a tenant by name: those after one, or the one of a name."""
    wanted = _U.dataset == name if name else _U.dataset > after
    query = (
        select(_U.dataset, func.count().label("updates"), func.max(_U.update_id).label("newest"))
        .where(_U.tenant == tenant, wanted)
        .group_by(_U.dataset)
        .order_by(_U.dataset)
        .limit(limit)
    )
    found = connection.execute(query).all()
    newest = _by_id(connection, [row.newest for row in found])
    return [
        DatasetRecord(name=row.dataset, updates=row.updates, newest=newest[row.newest])
        for row in found
    ]


def producers(connection: Connection, tenant: str, name: str, limit: int) -> list[KeptUpdate]:
    """Return the newest update of each step that has updated a dataset, the newest first."""
    newest = func.max(_U.update_id)
    query = (
        select(newest)
        .where(_U.tenant == tenant, _U.dataset == name, _U.run_id != "")
        .group_by(_U.workflow, _U.path)
        .order_by(newest.desc())
        .limit(limit)
    )
    ids = list(connection.execute(query).scalars())
    found = _by_id(connection, ids)
    return [found[each] for each in ids]


def newest_first(
    connection: Connection, tenant: str, name: str, part: str | None, before_id: int, limit: int
) -> list[KeptUpdate]:
    """Return the updates of a dataset, or of a part of it, before one, the newest first."""
    query = select(dataset_updates).where(_U.tenant == tenant, _U.dataset == name)
    if part is not None:
        query = query.where(_U.part == part)
    query = query.where(_U.update_id < before_id).order_by(_U.update_id.desc()).limit(limit)
    return _with_runs(connection, connection.execute(query).all())


def remove_old(connection: Connection, before_us: int, limit: int) -> list[str]:
    """Delete updates from before a time."""
    old = select(_U.update_id, _U.dataset).where(_U.time_us < before_us)
    return _remove(connection, old.order_by(_U.time_us).limit(limit))


def trim(connection: Connection, most: int, limit: int) -> list[str]:
    """Delete the oldest updates of a tenant that has more than `most`."""
    count = func.count()
    many = select(_U.tenant, count.label("count")).group_by(_U.tenant).having(count > most)
    found = connection.execute(many.limit(1)).first()
    if found is None:
        return []
    surplus = min(limit, int(found._mapping["count"]) - most)
    oldest = select(_U.update_id, _U.dataset).where(_U.tenant == found.tenant)
    return _remove(connection, oldest.order_by(_U.update_id).limit(surplus))


def _remove(connection: Connection, query: Select[Any]) -> list[str]:
    found = connection.execute(query).all()
    ids = [row.update_id for row in found]
    if ids:
        connection.execute(delete(dataset_runs).where(dataset_runs.c.update_id.in_(ids)))
        connection.execute(delete(dataset_updates).where(_U.update_id.in_(ids)))
    return [row.dataset for row in found]


def _by_id(connection: Connection, ids: Sequence[int]) -> dict[int, KeptUpdate]:
    found = connection.execute(select(dataset_updates).where(_U.update_id.in_(ids)))
    return {row.update_id: _kept(row) for row in found}


def _with_runs(connection: Connection, rows: Sequence[Row[Any]]) -> list[KeptUpdate]:
    ids = [row.update_id for row in rows]
    started: dict[int, list[str]] = defaultdict(list)
    query = select(dataset_runs).where(dataset_runs.c.update_id.in_(ids))
    for row in connection.execute(query.order_by(dataset_runs.c.run_id)):
        started[row.update_id].append(row.run_id)
    return [_kept(row, started[row.update_id]) for row in rows]


def _kept(row: Row[Any], started: Sequence[str] = ()) -> KeptUpdate:
    values = dict(row._mapping)
    outputs = canonical.loads(values.pop("outputs"))
    return KeptUpdate(**values, outputs=outputs, started=tuple(started))


def _values(partition: int, new: DatasetUpdate) -> tuple[object, ...]:
    outputs = canonical.dumps(dict(new.outputs))
    values = {**vars(new), "partition": partition, "outputs": outputs}
    return tuple(values[name] for name in _COLUMNS)
