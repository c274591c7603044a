"""Grants: which tenant has which artifacts. Content is stored once, whoever has it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from sqlalchemy import BigInteger, Connection, Text, bindparam, delete, func, select

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store import grant_rows
from kaon_coordinator.store.bulk import Bulk
from kaon_coordinator.store.records import PartitionBatch
from kaon_coordinator.store.tables import grants, runs
from kaon_service.databases import Database
from kaon_wire.artifact_references import sizes_of

# Digests of one query.
_AT_ONCE = 500


class Grants:
    """Writes grants."""

    def __init__(self, database: Database) -> None:
        self._database = database
        named = (bindparam("digest", type_=Text), bindparam("size", type_=BigInteger))
        given = select(runs.c.tenant, *named).where(runs.c.run_id == bindparam("run"))
        insert = database.insert(grants).from_select(["tenant", "digest", "size_bytes"], given)
        self._of_run = Bulk(database, insert.on_conflict_do_nothing(), ("digest", "size", "run"))

    def note(self, connection: Connection, batches: Sequence[PartitionBatch]) -> None:
        """Grant what steps have given to the tenants of their runs, in a global order, so that no two deadlock."""
        found = {(digest, size, run) for batch in batches for run, digest, size in given_by(batch)}
        self._of_run.execute(connection, sorted(found))

    def give(self, connection: Connection, tenant: str, sizes: Mapping[str, int]) -> None:
        """Grant artifacts to a tenant; a size that was not known is known from now on."""
        if not sizes:
            return
        rows = [
            {"tenant": tenant, "digest": digest, "size_bytes": sizes[digest]}
            for digest in sorted(sizes)
        ]
        insert = self._database.insert(grants)
        known = insert.on_conflict_do_update(
            index_elements=["tenant", "digest"],
            set_={"size_bytes": insert.excluded.size_bytes},
            where=grants.c.size_bytes == 0,
        )
        connection.execute(known, rows)


def give_named(database: Database, connection: Connection) -> None:
    """Grant what the rows of each tenant name."""
    for rows in grant_rows.fresh(connection):
        connection.execute(database.insert(grants).on_conflict_do_nothing(), rows)


def given_by(batch: PartitionBatch) -> Iterator[tuple[str, str, int]]:
    """Yield run, digest and size of the artifacts among the outputs of steps that have succeeded."""
    for run_id, rows in batch.steps.items():
        for row in rows:
            if row.status == t.SUCCEEDED:
                yield from ((run_id, digest, size) for digest, size in sizes_of(row.data).items())


def forget(connection: Connection, digest: str) -> None:
    """Take an artifact that is gone from all tenants."""
    connection.execute(delete(grants).where(grants.c.digest == digest))


def bytes_of(connection: Connection, tenant: str) -> int:
    """Return how many bytes the artifacts of a tenant have."""
    total = select(func.sum(grants.c.size_bytes)).where(grants.c.tenant == tenant)
    return int(connection.execute(total).scalar() or 0)


def missing(connection: Connection, tenant: str, digests: Collection[str]) -> set[str]:
    """Return those of the digests that a tenant is not granted."""
    wanted, found = sorted(digests), set()
    for first in range(0, len(wanted), _AT_ONCE):
        query = select(grants.c.digest).where(
            grants.c.tenant == tenant, grants.c.digest.in_(wanted[first : first + _AT_ONCE])
        )
        found |= set(connection.execute(query).scalars())
    return set(wanted) - found
