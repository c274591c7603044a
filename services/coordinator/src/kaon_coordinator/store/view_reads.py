"""What the view service reads, beside what everybody reads."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    case,
    cast,
    func,
    select,
    text,
)

from kaon_coordinator.engine.rows.rows import BlockRow, StepRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store import run_queries, run_sql, snapshot_sql
from kaon_coordinator.store.log_bounds import LogBounds
from kaon_coordinator.store.log_sql import LogArchive, of_path
from kaon_coordinator.store.migrate import MIGRATIONS
from kaon_coordinator.store.records import LogChunk, RunPage, RunRecord, Snapshot
from kaon_coordinator.store.sql import SqlStore, transaction
from kaon_coordinator.store.tables import blocks, history, log_leases, runs, steps
from kaon_service.databases import Database, Durability, open_database, refusals
from kaon_wire.errors import NotFound, Unavailable
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


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A run without what is in foreach cells."""

    run: RunRecord
    steps: Sequence[StepRow]
    blocks: Sequence[BlockRow]
    # Steps in foreach cells that are alike: path without the key of the outermost cell, status, how many, how many of them in a
    # further attempt, how many have ended and taken time, and how many microseconds together.
    counted_steps: Sequence[tuple[Any, ...]]
    # Blocks and cells in foreaches that are alike, their cells among them: path as that of steps, kind, status, data (of a
    # foreach), how many.
    counted_blocks: Sequence[tuple[Any, ...]]


@dataclass(frozen=True, kw_only=True)
class CellRows:
    """The cells of a foreach."""

    # The run's newest event.
    seq: int
    # Of the foreach, canonical JSON.
    data: str
    # Key, status and data of each cell, and of cells of other blocks in it.
    cells: Sequence[tuple[Any, ...]]
    # Path, status, attempt and times of each step in it.
    steps: Sequence[tuple[Any, ...]]


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

    def newest_runs(self, tenant: str, wish: runs_pb2.RunFilter, most: int) -> list[RunRecord]:
        """Return the newest runs that a filter selects, page by page until there are so many."""
        found: list[RunRecord] = []
        token = ""
        while len(found) < most:
            size = min(_AT_ONCE, most - len(found))
            page = self.query_runs(tenant, wish, page_size=size, page_token=token)
            found += page.runs
            token = page.next_page_token
            if not token:
                break
        return found

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
                    found[row["run_id"]] = BlockRow(
                        **{c.name: row[c.name] for c in run_sql.BLOCK_COLUMNS}
                    )
                query = select(steps).where(steps.c.run_id.in_(some), steps.c.path == path)
                for row in connection.execute(query).mappings():
                    found[row["run_id"]] = StepRow(
                        **{c.name: row[c.name] for c in run_sql.STEP_COLUMNS}
                    )
        return found

    def history_before(
        self, run_id: str, before_seq: int, limit: int
    ) -> list[history_pb2.HistoryEvent]:
        """Events of a run with a seq below `before_seq`, the newest first."""
        query = select(history.c.event).where(
            history.c.run_id == run_id, history.c.seq < before_seq
        )
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
        with self._one_moment("whole_run") as connection:
            found = snapshot_sql.read(connection, run_id)
        assert found is not None
        return found

    def outline(self, run_id: str) -> Outline:
        """Return a run without what is in foreach cells, of which only what is counted is read.

        Raises:
            NotFound: There is no such run.
        """
        with self._one_moment("outline") as connection:
            row = connection.execute(select(runs).where(runs.c.run_id == run_id)).first()
            if row is None:
                raise NotFound(f"there is no run {run_id!r}")
            own_steps = select(*run_sql.STEP_COLUMNS).where(
                steps.c.run_id == run_id, ~self._in_cells(steps.c.path)
            )
            own_blocks = select(*run_sql.BLOCK_COLUMNS).where(
                blocks.c.run_id == run_id, ~self._in_cells(blocks.c.path)
            )
            return Outline(
                run=run_sql.run_record(row),
                steps=[StepRow(**each) for each in connection.execute(own_steps).mappings()],
                blocks=[BlockRow(**each) for each in connection.execute(own_blocks).mappings()],
                counted_steps=_tuples(connection, self._alike_steps(run_id)),
                counted_blocks=_tuples(connection, self._alike_blocks(run_id)),
            )

    def cell_rows(self, run_id: str, block: str) -> CellRows:
        """Return the cells of a foreach, and of the steps in them what is drawn of each.

        Raises:
            NotFound: There is no such foreach.
        """
        with self._one_moment("cell_rows") as connection:
            around = select(blocks.c.data, runs.c.seq).join(runs, runs.c.run_id == blocks.c.run_id)
            around = around.where(
                blocks.c.run_id == run_id, blocks.c.path == block, blocks.c.kind == "for_each"
            )
            row = connection.execute(around).first()
            if row is None:
                raise NotFound(f"run {run_id} has no foreach {block!r}")
            cells = select(blocks.c.path, blocks.c.status, blocks.c.data).where(
                blocks.c.run_id == run_id,
                blocks.c.kind == "cell",
                blocks.c.path.startswith(f"{block}[", autoescape=True),
            )
            drawn = (steps.c.path, steps.c.status, steps.c.attempt)
            times = (steps.c.ready_us, steps.c.start_us, steps.c.end_us)
            inside = select(*drawn, *times).where(
                steps.c.run_id == run_id, steps.c.path.startswith(f"{block}[", autoescape=True)
            )
            return CellRows(
                seq=row.seq,
                data=row.data,
                cells=_tuples(connection, cells),
                steps=_tuples(connection, inside),
            )

    def some_step_data(self, run_id: str, block: str, limit: int) -> list[str]:
        """Return the data of some of the steps in the cells of a foreach."""
        inside = steps.c.path.startswith(f"{block}[", autoescape=True)
        query = select(steps.c.data).where(steps.c.run_id == run_id, inside).limit(limit)
        with self._reading("some_step_data") as connection:
            return list(connection.execute(query).scalars())

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

    def waiting_gates(self, tenant: str) -> Iterator[tuple[RunRecord, BlockRow]]:
        """Yield the gates of a tenant's open runs that wait, those of the newest runs first."""
        with self._reading("waiting_gates") as connection:
            for row in connection.execute(waiting_gates(tenant)):
                told = row._mapping
                yield (
                    run_sql.run_record(row),
                    BlockRow(**{c.name: told[f"block_{c.name}"] for c in run_sql.BLOCK_COLUMNS}),
                )

    def log_chunks(
        self,
        run_id: str,
        path: str,
        attempt: int,
        *,
        after: int = 0,
        before: int = 0,
        limit: int = 100,
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

    def _alike_steps(self, run_id: str) -> Select[Any]:
        """Return the query for `Outline.counted_steps`. The database counts: a row for each step would take ten times as long."""
        took = steps.c.end_us - steps.c.start_us
        timed = (steps.c.status.in_(t.TERMINAL), steps.c.start_us > 0, steps.c.end_us > 0)
        each = select(
            self._without_key(steps.c.path).label("path"),
            steps.c.status,
            case((steps.c.attempt > 1, 1), else_=0).label("retried"),
            case((and_(*timed), 1), else_=0).label("timed"),
            case((and_(*timed, took > 1), took), (and_(*timed), 1), else_=0).label("took"),
        )
        one = each.where(steps.c.run_id == run_id, self._in_cells(steps.c.path)).subquery().c
        # Whole numbers: PostgreSQL adds large ones up as decimals.
        sums = (cast(func.sum(each), BigInteger) for each in (one.retried, one.timed, one.took))
        return select(one.path, one.status, func.count(), *sums).group_by(one.path, one.status)

    def _alike_blocks(self, run_id: str) -> Select[Any]:
        """Return the query for `Outline.counted_blocks`."""
        each = select(
            self._without_key(blocks.c.path).label("path"),
            blocks.c.kind,
            blocks.c.status,
            case((blocks.c.kind == "for_each", blocks.c.data), else_="").label("data"),
        )
        one = each.where(blocks.c.run_id == run_id, self._in_cells(blocks.c.path)).subquery().c
        return select(*one, func.count()).group_by(*one)

    def _without_key(self, path: ColumnElement[str]) -> ColumnElement[str]:
        """Return a path in a foreach cell without the key of the outermost one: "each[]/step"."""
        begin = func.substr(path, 1, self._place(path, "["))
        return begin.concat(func.substr(path, self._place(path, "]")))

    def _in_cells(self, path: ColumnElement[str]) -> ColumnElement[bool]:
        """Return whether a path is in a foreach cell. LIKE would take longer."""
        return self._place(path, "[") > 0

    def _place(self, path: ColumnElement[str], sign: str) -> ColumnElement[int]:
        find = func.instr if self._database.is_sqlite else func.strpos
        return find(path, sign, type_=Integer)

    @contextmanager
    def _one_moment(self, what: str) -> Iterator[Connection]:
        """Read several tables as they are at one moment."""
        # SQLite's transactions see one moment anyway.
        options = {} if self._database.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with refusals(what), self._database.reader.connect() as plain:
            connection = plain.execution_options(**options) if options else plain
            with connection.begin():
                yield connection

    def _reading(self, what: str) -> AbstractContextManager[Connection]:
        return transaction(self._database.reader.begin(), what)


def _tuples(connection: Connection, query: Select[Any]) -> list[tuple[Any, ...]]:
    # All at once: one row after the other takes half as long again.
    return [tuple(each) for each in connection.execute(query).all()]


def _parts(values: Sequence[T]) -> list[Sequence[T]]:
    return [values[first : first + _AT_ONCE] for first in range(0, len(values), _AT_ONCE)]


def waiting_gates(tenant: str) -> Select[Any]:
    """Return the query of a tenant's open runs with their gates that wait, those of the newest runs first."""
    columns = [column.label(f"block_{column.name}") for column in run_sql.BLOCK_COLUMNS]
    return (
        select(runs, *columns)
        .join(blocks, blocks.c.run_id == runs.c.run_id)
        .where(runs.c.tenant == tenant, runs.c.open == 1)
        .where(runs.c.status.not_in([int(status) for status in t.TERMINAL]))
        # As the index has it.
        .where(text(f"blocks.kind = 'gate' AND blocks.status = {int(t.WAITING)}"))
        .order_by(runs.c.create_us.desc(), runs.c.run_id, blocks.c.path)
    )
