"""Reads and writes of the owners of partitions and pools."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from google.protobuf.message import DecodeError
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Table,
    bindparam,
    case,
    delete,
    literal_column,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from kaon_coordinator.engine.rows.rows import BlockRow, RunRow, StepRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store import run_sql
from kaon_coordinator.store.aside_sql import Aside, is_aside
from kaon_coordinator.store.bulk import Bulk, BulkRows, upserts
from kaon_coordinator.store.grant_sql import Grants
from kaon_coordinator.store.owed import Owed
from kaon_coordinator.store.records import (
    EncodedEvent,
    InboxRow,
    LoadedRun,
    PartitionBatch,
    encode_event,
)
from kaon_coordinator.store.tables import blocks, history, inbox, partitions, pools, runs, steps
from kaon_service.databases import Database
from kaon_wire.errors import Conflict, NotFound
from kaonapi.run.v1 import command_pb2, history_pb2

Record = TypeVar("Record", StepRow, BlockRow)

_RUN_ENDED = (t.SUCCEEDED, t.FAILED, t.CANCELLED, t.TIMED_OUT)
_RUN_CHANGES = (
    "status",
    "seq",
    "start_us",
    "end_us",
    "error",
    "cancel_requested",
    "steps_total",
    "steps_succeeded",
    "priority",
    "outputs",
    "data",
)
_step_values = attrgetter(*(column.name for column in run_sql.STEP_COLUMNS))
_block_values = attrgetter(*(column.name for column in run_sql.BLOCK_COLUMNS))


class Commits:
    """Writes the batches of owners."""

    def __init__(self, database: Database, owed: Owed, aside: Aside, grants: Grants) -> None:
        self._owed = owed
        self._grants = grants
        self._aside = aside
        holds = (partitions.c.partition == bindparam("key")) & (
            partitions.c.epoch == bindparam("held")
        )
        self._fence = Bulk(
            database,
            update(partitions).where(holds).values(epoch=bindparam("epoch")),
            ("epoch", "key", "held"),
        )
        self._history = BulkRows(database, history)
        self._steps = upserts(database, steps)
        self._blocks = upserts(database, blocks)
        changes: dict[str, Any] = {name: bindparam(name) for name in _RUN_CHANGES}
        # Any change of an ended run reopens its row; only its published mark closes it.
        change = update(runs).where(runs.c.run_id == bindparam("key"))
        change = change.ordered_values(*changes.items(), ("open", literal_column("1")))
        self._runs = Bulk(database, change, (*_RUN_CHANGES, "key"))
        self._published = Bulk(
            database, _mark_published(), ("mark", "mark_again", "key", "mark_above")
        )
        self._applied = Bulk(
            database, delete(inbox).where(inbox.c.inbox_id == bindparam("id")), ("id",)
        )

    def write(self, connection: Connection, batches: Sequence[PartitionBatch]) -> frozenset[int]:
        """Apply batches, fences first; return the partitions of other owners, of which nothing is written."""
        # In a global order: two owners that wait for each other's partitions would deadlock.
        batches = sorted(batches, key=attrgetter("partition"))
        held = [batch for batch in batches if self.holds(connection, batch.partition, batch.epoch)]
        self._owed.begin(connection, held)
        self._write_history(connection, held)
        # One statement for all partitions: its overhead is spread over many rows.
        self._runs.execute(connection, [_run_values(row) for batch in held for row in batch.runs])
        self._owed.drop(connection, held)
        self._steps.execute(
            connection, [row for batch in held for row in _rows(batch.steps, _step_values)]
        )
        self._blocks.execute(
            connection, [row for batch in held for row in _rows(batch.blocks, _block_values)]
        )
        self._grants.note(connection, held)
        applied = [(inbox_id,) for batch in held for inbox_id in batch.applied_inbox]
        self._applied.execute(connection, applied)
        # After the runs: whether a run is done depends on its new seq.
        marks = [(seq, seq, i, seq) for batch in held for i, seq in batch.published.items()]
        self._published.execute(connection, marks)
        self._owed.write(connection, held)
        self._aside.put(connection, [row for batch in held for row in batch.set_aside])
        return frozenset(batch.partition for batch in batches) - {batch.partition for batch in held}

    def holds(self, connection: Connection, partition: int, epoch: int) -> bool:
        """Check the fence: whether the epoch is the partition's current one.

        It holds until the transaction ends.
        """
        # An update, because a read would not exclude a new owner.
        return self._fence.execute_one(connection, (epoch, partition, epoch)) == 1

    def _write_history(self, connection: Connection, batches: Sequence[PartitionBatch]) -> None:
        try:
            rows = [_history_row(event) for batch in batches for event in batch.history]
            self._history.execute(connection, rows)
        except IntegrityError as error:
            raise Conflict(f"an event is stored already: {error.orig}") from error


def claim(
    database: Database, connection: Connection, table: Table, key: int | str, owner: str
) -> int:
    """Raise the epoch of a partition or pool by one, from 0 when it never had an owner."""
    (key_column,) = table.primary_key
    first = database.insert(table).values({key_column: key, "epoch": 1, "owner": owner})
    raised = {"epoch": table.c.epoch + 1, "owner": first.excluded.owner}
    statement = first.on_conflict_do_update(index_elements=[key_column], set_=raised).returning(
        table.c.epoch
    )
    return int(connection.execute(statement).scalar_one())


def claim_partition(database: Database, connection: Connection, partition: int, owner: str) -> int:
    """Return a new epoch of a partition."""
    return claim(database, connection, partitions, partition, owner)


def partition_epochs(connection: Connection, numbers: Collection[int]) -> dict[int, int]:
    """Return the newest epochs of partitions."""
    claimed = select(partitions.c.partition, partitions.c.epoch).where(
        partitions.c.partition.in_(numbers)
    )
    return {row.partition: row.epoch for row in connection.execute(claimed)}


def claim_pool(database: Database, connection: Connection, pool: str, owner: str) -> int:
    """Return a new epoch of a pool."""
    return claim(database, connection, pools, pool, owner)


def pool_owner(connection: Connection, pool: str) -> str:
    """Return the last owner of a pool."""
    return connection.execute(select(pools.c.owner).where(pools.c.pool == pool)).scalar() or ""


def load_runs(connection: Connection, partition: int) -> list[LoadedRun]:
    """Return the active runs of a partition."""
    unfinished = (*_open(partition), runs.c.status.not_in(_RUN_ENDED), ~is_aside(runs.c.run_id))
    found = connection.execute(
        select(runs).where(*unfinished).order_by(runs.c.create_us, runs.c.run_id)
    ).all()
    return _with_rows(connection, found, unfinished)


def _with_rows(
    connection: Connection, found: Sequence[Row[Any]], chosen: Iterable[ColumnElement[bool]]
) -> list[LoadedRun]:
    """Return the runs `found` by the condition `chosen`, with their steps and blocks."""
    if not found:
        return []
    # A run that has not begun has neither.
    begun = any(row.seq for row in found)
    step_rows = _by_run(connection, steps, run_sql.STEP_COLUMNS, StepRow, chosen) if begun else {}
    block_rows = (
        _by_run(connection, blocks, run_sql.BLOCK_COLUMNS, BlockRow, chosen) if begun else {}
    )
    return [
        LoadedRun(
            **run_sql.run_fields(row),
            steps=step_rows.get(row.run_id, ()),
            blocks=block_rows.get(row.run_id, ()),
        )
        for row in found
    ]


def load_run(connection: Connection, run_id: str) -> LoadedRun:
    """Return one run with its rows."""
    row = connection.execute(select(runs).where(runs.c.run_id == run_id)).first()
    if row is None:
        raise NotFound(f"there is no run {run_id!r}")
    return LoadedRun(
        **run_sql.run_fields(row),
        steps=run_sql.list_steps(connection, run_id),
        blocks=run_sql.list_blocks(connection, run_id),
    )


def load_some(connection: Connection, run_ids: Collection[str]) -> list[LoadedRun]:
    """Return runs with their rows."""
    chosen = (runs.c.run_id.in_(run_ids),)
    return _with_rows(connection, connection.execute(select(runs).where(*chosen)).all(), chosen)


def unapplied_of(connection: Connection, partitions: Collection[int], limit: int) -> list[InboxRow]:
    """Return the commands that wait for the partitions' owner."""
    chosen = (inbox.c.partition.in_(partitions), ~is_aside(inbox.c.run_id))
    query = select(inbox).where(*chosen).order_by(inbox.c.inbox_id).limit(limit)
    return [
        InboxRow(
            inbox_id=row.inbox_id,
            partition=row.partition,
            run_id=row.run_id,
            command=_command(row.run_id, row.command),
            create_us=row.create_us,
        )
        for row in connection.execute(query)
    ]


def _command(run_id: str, data: bytes) -> command_pb2.RunCommand:
    """Parse a command; return an empty one, which the engine refuses, when this version cannot read it."""
    try:
        return command_pb2.RunCommand.FromString(data)
    except DecodeError:
        return command_pb2.RunCommand(run_id=run_id)


def unpublished(
    connection: Connection, partition: int, limit: int
) -> list[history_pb2.HistoryEvent]:
    """Return the events past their runs' marks."""
    query = (
        select(history.c.event)
        .join(runs, runs.c.run_id == history.c.run_id)
        .where(
            *_open(partition),
            runs.c.published_seq < runs.c.seq,
            history.c.seq > runs.c.published_seq,
        )
        .order_by(history.c.run_id, history.c.seq)
        .limit(limit)
    )
    return [
        history_pb2.HistoryEvent.FromString(data) for data in connection.execute(query).scalars()
    ]


def _open(partition: int) -> tuple[ColumnElement[bool], ...]:
    # Literal, or the partial index would not be used.
    return runs.c.partition == partition, runs.c.open == literal_column("1")


def _by_run(
    connection: Connection,
    table: Table,
    columns: Iterable[Column[Any]],
    record: type[Record],
    chosen: Iterable[ColumnElement[bool]],
) -> dict[str, list[Record]]:
    query = (
        select(table.c.run_id, *columns)
        .join(runs, runs.c.run_id == table.c.run_id)
        .where(*chosen)
        .order_by(table.c.position)
    )
    found: dict[str, list[Record]] = defaultdict(list)
    names = [column.name for column in columns]
    for run_id, *values in connection.execute(query):
        found[run_id].append(record(**dict(zip(names, values, strict=True))))
    return found


def _mark_published() -> Any:
    """Raise a run's mark; an ended run with all events published is done."""
    done = runs.c.status.in_([literal_column(str(int(status))) for status in _RUN_ENDED])
    complete = done & (runs.c.seq <= bindparam("mark_again"))
    return (
        update(runs)
        .where(runs.c.run_id == bindparam("key"), runs.c.published_seq < bindparam("mark_above"))
        .ordered_values(
            (runs.c.published_seq, bindparam("mark")),
            (runs.c.open, case((complete, literal_column("0")), else_=runs.c.open)),
        )
    )


def _rows(
    by_run: Mapping[str, Sequence[Record]], values: Callable[[Record], tuple[Any, ...]]
) -> Iterator[tuple[Any, ...]]:
    for run_id, changed in by_run.items():
        for each in changed:
            value: tuple[Any, ...] = values(each)
            yield run_id, *value


def _history_row(event: history_pb2.HistoryEvent | EncodedEvent) -> tuple[Any, ...]:
    encoded = event if isinstance(event, EncodedEvent) else encode_event(event)
    return encoded.run_id, encoded.seq, encoded.data


def _run_values(row: RunRow) -> tuple[Any, ...]:
    return (
        row.status,
        row.seq,
        row.start_us,
        row.end_us,
        row.error,
        int(row.cancel_requested),
        row.steps_total,
        row.steps_succeeded,
        row.priority,
        row.outputs,
        row.data,
        row.run_id,
    )
