"""Grants: which tenant has which artifacts. Content is stored once, whoever has it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import Connection, Text, bindparam, select

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store import grant_rows
from kaon_coordinator.store.bulk import Bulk
from kaon_coordinator.store.records import PartitionBatch
from kaon_coordinator.store.tables import grants, runs
from kaon_service.databases import Database
from kaon_wire.artifact_references import outputs_of

# Digests of one query.
_AT_ONCE = 500


class Grants:
    """Writes grants."""

    def __init__(self, database: Database) -> None:
        self._database = database
        given = select(runs.c.tenant, bindparam("digest", type_=Text))
        given = given.where(runs.c.run_id == bindparam("run"))
        insert = database.insert(grants).from_select(["tenant", "digest"], given)
        self._of_run = Bulk(database, insert.on_conflict_do_nothing(), ("digest", "run"))

    def note(self, connection: Connection, batches: Sequence[PartitionBatch]) -> None:
        """Grant what steps have given to the tenants of their runs, in a global order, so that no two deadlock."""
        found = {(digest, run) for batch in batches for run, digest in given_by(batch)}
        self._of_run.execute(connection, sorted(found))

    def give(self, connection: Connection, tenant: str, digests: Collection[str]) -> None:
        """Grant artifacts to a tenant."""
        if digests:
            rows = [{"tenant": tenant, "digest": digest} for digest in sorted(digests)]
            connection.execute(self._database.insert(grants).on_conflict_do_nothing(), rows)


def give_named(database: Database, connection: Connection) -> None:
    """Grant what the rows of each tenant name."""
    for rows in grant_rows.fresh(connection):
        connection.execute(database.insert(grants).on_conflict_do_nothing(), rows)


def given_by(batch: PartitionBatch) -> Iterator[tuple[str, str]]:
    """Yield run and digest of the artifacts among the outputs of steps that have succeeded."""
    for run_id, rows in batch.steps.items():
        for row in rows:
            if row.status == t.SUCCEEDED:
                yield from ((run_id, digest) for digest in outputs_of(row.data))


def missing(connection: Connection, tenant: str, digests: Collection[str]) -> set[str]:
    """Return those of the digests that a tenant is not granted."""
    wanted, found = sorted(digests), set()
    for first in range(0, len(wanted), _AT_ONCE):
        query = select(grants.c.digest).where(
            grants.c.tenant == tenant, grants.c.digest.in_(wanted[first : first + _AT_ONCE])
        )
        found |= set(connection.execute(query).scalars())
    return set(wanted) - found
