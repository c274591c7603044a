"""What the view service reads, beside what everybody reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from sqlalchemy import Connection, func, select

from kaon_coordinator.engine.rows.rows import BlockRow, StepRow
from kaon_coordinator.store import run_queries, run_sql, snapshot_sql
from kaon_coordinator.store.log_bounds import LogBounds
from kaon_coordinator.store.log_sql import LogArchive, of_path
from kaon_coordinator.store.migrate import MIGRATIONS
from kaon_coordinator.store.records import LogChunk, RunPage, RunRecord, Snapshot
from kaon_coordinator.store.sql import SqlStore, transaction
from kaon_coordinator.store.tables import blocks, history, log_leases, runs, steps
from kaon_service.databases import Database, Durability, open_database, refusals
from kaon_wire.errors import Unavailable
from kaonapi.run.v1 import history_pb2
from kaonapi.view.v1 import runs_pb2

T = TypeVar("T")

# Values of one statement.
_AT_ONCE = 500


def open_view_reads(url: str) -> ViewReads:
    """Open a database that a coordinator keeps; nothing is written to it.

    Raises:
        InvalidValue: the URL names none.
        Unavailable: the database does not answer, or no coordinator of this version has made its tables yet.
    """
    database = open_database(url, Durability.RELAXED)
    try:
        with refusals("revision"), database.reader.connect() as connection:
            revision = MIGRATIONS.revision(connection)
        if revision != MIGRATIONS.head:
            raise Unavailable(
                f"the database is at revision {revision}, this version of Kaon reads {MIGRATIONS.head}: a coordinator of the "
                "same version must have been started on it"
            )
        return ViewReads(database)
    except BaseException:
        database.close()
        raise


class ViewReads:
    """Reads for the view service. Calls block; they may come from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # What everybody reads: runs, histories, snapshots, workflows, logs.
        self.store = SqlStore(database, LogBounds())
        self._logs = LogArchive(database, LogBounds())

    def query_runs(
        self,
        tenant: str,
        wish: runs_pb2.RunFilter,
        *,
        order: runs_pb2.RunOrder.ValueType = runs_pb2.RUN_ORDER_NEWEST,
        page_size: int = 50,
        page_token: str = "",
    ) -> RunPage:
        """Return some of the runs that a filter selects. A page that is not full need not be the last: its token says.

        Raises:
            InvalidValue: the token is none of such a query.
        """
        with self._reading("query_runs") as connection:
            return run_queries.page(connection, tenant, wish, order, page_size, page_token)

    def count_runs(
        self, tenant: str, wish: runs_pb2.RunFilter, buckets: int, now_us: int
    ) -> run_queries.Counts:
        """How many runs a filter selects, by when they were submitted and by status."""
        with self._reading("count_runs") as connection:
            return run_queries.count(connection, tenant, wish, buckets, now_us)

    def rows_at(self, run_ids: Collection[str], path: str) -> dict[str, StepRow | BlockRow]:
        """Return what stands at a path of many runs, by run."""
        found: dict[str, StepRow | BlockRow] = {}
        with self._reading("rows_at") as connection:
            for some in _parts(sorted(run_ids)):
                query = select(blocks).where(blocks.c.run_id.in_(some), blocks.c.path == path)
                for row in connection.execute(query).mappings():
                    found[row["run_id"]] = BlockRow(**{c.name: row[c.name] for c in run_sql.BLOCK_COLUMNS})
                query = select(steps).where(steps.c.run_id.in_(some), steps.c.path == path)
                for row in connection.execute(query).mappings():
                    found[row["run_id"]] = StepRow(**{c.name: row[c.name] for c in run_sql.STEP_COLUMNS})
        return found

    def history_before(self, run_id: str, before_seq: int, limit: int) -> list[history_pb2.HistoryEvent]:
        """Events of a run with a seq below `before_seq`, the newest first."""
        query = select(history.c.event).where(history.c.run_id == run_id, history.c.seq < before_seq)
        with self._reading("history_before") as connection:
            found = connection.execute(query.order_by(history.c.seq.desc()).limit(limit)).scalars()
            return [history_pb2.HistoryEvent.FromString(data) for data in found]

    def events_at(self, run_id: str, seqs: Collection[int]) -> dict[int, history_pb2.HistoryEvent]:
        """Events of a run by their numbers."""
        found: dict[int, history_pb2.HistoryEvent] = {}
        with self._reading("events_at") as connection:
            for some in _parts(sorted(seqs)):
                query = select(history.c.seq, history.c.event).where(
                    history.c.run_id == run_id, history.c.seq.in_(some)
                )
                for row in connection.execute(query):
                    found[row.seq] = history_pb2.HistoryEvent.FromString(row.event)
        return found

    def whole_run(self, run_id: str) -> Snapshot:
        """Return a run with its steps and blocks, all of the same moment, however often it changes.

        Raises:
            NotFound: there is no such run.
        """
        # SQLite's transactions see one moment anyway.
        options = {} if self._database.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with refusals("whole_run"), self._database.reader.connect() as plain:
            connection = plain.execution_options(**options) if options else plain
            with connection.begin():
                found = snapshot_sql.read(connection, run_id)
        assert found is not None
        return found

    def newest_seqs(self, run_ids: Collection[str]) -> dict[str, int]:
        """Return the newest event of each of the runs that are there."""
        found: dict[str, int] = {}
        with self._reading("newest_seqs") as connection:
            for some in _parts(sorted(run_ids)):
                query = select(runs.c.run_id, runs.c.seq).where(runs.c.run_id.in_(some))
                found.update((row.run_id, row.seq) for row in connection.execute(query))
        return found

    def open_seqs(self) -> dict[str, int]:
        """Return the newest event of each run that has not ended or was not published whole, of all tenants."""
        query = select(runs.c.run_id, runs.c.seq).where(runs.c.open == 1)
        with self._reading("open_seqs") as connection:
            return {row.run_id: row.seq for row in connection.execute(query)}

    def runs_of(self, tenant: str, run_ids: Collection[str]) -> list[RunRecord]:
        """Those of the runs that are there and the tenant's, in no particular order."""
        found: list[RunRecord] = []
        with self._reading("runs_of") as connection:
            for some in _parts(sorted(run_ids)):
                query = select(runs).where(runs.c.tenant == tenant, runs.c.run_id.in_(some))
                found += [run_sql.run_record(row) for row in connection.execute(query)]
        return found

    def log_chunks(
        self, run_id: str, path: str, attempt: int, *, after: int = 0, before: int = 0, limit: int = 100
    ) -> list[LogChunk]:
        """Return archived lines of the steps at or under a path (empty.

        Of all) of one attempt (0: of all), in the order of arrival after a chunk; or the newest first before a
        chunk.
        """
        with self._reading("log_chunks") as connection:
            return self._logs.read(
                connection, run_id, path, after, limit, attempt=attempt, before_chunk=before
            )

    def lines_left_out(self, run_id: str, path: str, attempt: int) -> int:
        """How many lines of these steps are not archived any more."""
        out = log_leases.c.tail_first - 1 - log_leases.c.head_last
        query = select(func.coalesce(func.sum(out), 0)).where(
            log_leases.c.run_id == run_id, log_leases.c.full == 1, out > 0
        )
        if path:
            query = query.where(of_path(path))
        if attempt:
            query = query.where(log_leases.c.attempt == attempt)
        with self._reading("lines_left_out") as connection:
            return int(connection.execute(query).scalar_one())

    def close(self) -> None:
        """Close all connections. No call may follow."""
        self.store.close()

    def _reading(self, what: str) -> AbstractContextManager[Connection]:
        return transaction(self._database.reader, what)


def _parts(values: Sequence[T]) -> list[Sequence[T]]:
    return [values[first : first + _AT_ONCE] for first in range(0, len(values), _AT_ONCE)]
