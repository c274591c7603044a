"""The archive of step output: records as they arrived, without repeated lines; of each lease its head and tail.

Repeated records are recognised by the sequence numbers of their lines, in any order. Archivers work one after
the other, so ids of chunks ascend in the order in which they become visible: a reader that continues after
the last id misses only omitted lines. Rows that fall out of the tail are hidden at once, and deleted in
batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from kaon_coordinator.store.bulk import Bulk
from kaon_coordinator.store.log_bounds import Kept, LogBounds, visible
from kaon_coordinator.store.records import LogChunk
from kaon_coordinator.store.tables import log_chunks, log_leases
from kaon_service.databases import Database
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2

_Lease: TypeAlias = tuple[str, str, int, int, str]
_LEASE_COLUMNS = ("run_id", "path", "attempt", "generation", "incarnation")
_KEPT = ("full", "head_last", "tail_first")
_COUNTS = ("lines", "bytes", *_KEPT, "tail_bytes", "last_sequence")
_CHUNK_COLUMNS = ("run_id", "lease_id", "first_sequence", "last_sequence", "bytes", "payload")


@dataclass(kw_only=True)
class _Archived:
    """The archived lines of one lease."""

    lease_id: int
    kept: Kept
    # Where the tail began before this transaction.
    tail_began: int
    # Sequence numbers that arrived in this transaction.
    fresh: set[int] = field(default_factory=set)


class LogArchive:
    """Writes and reads archived lines."""

    def __init__(self, database: Database, bounds: LogBounds) -> None:
        self._database = database
        self._bounds = bounds
        chunk = insert(log_chunks).values(dict.fromkeys(_CHUNK_COLUMNS))
        self._chunk = Bulk(database, chunk, _CHUNK_COLUMNS)
        counts = update(log_leases).where(log_leases.c.lease_id == bindparam("key"))
        counts = counts.values({name: bindparam(name) for name in _COUNTS})
        self._counts = Bulk(database, counts, (*_COUNTS, "key"))

    def archive(
        self, connection: Connection, records: Sequence[log_pb2.LogLines]
    ) -> frozenset[str]:
        """Archive the new lines of records; return the runs with new lines."""
        if not self._database.is_sqlite:
            connection.execute(text("LOCK TABLE log_leases IN SHARE ROW EXCLUSIVE MODE"))
        leases: dict[_Lease, _Archived] = {}
        chunks: list[tuple[Any, ...]] = []
        for record in records:
            lease = _lease(record)
            if lease not in leases:
                leases[lease] = self._open(connection, lease)
            chunks += self._rows(connection, leases[lease], record)
        self._chunk.execute(connection, chunks)
        for archived in leases.values():
            self._leave_out(connection, archived)
        self._counts.execute(connection, [_counts_row(archived) for archived in leases.values()])
        return frozenset(chunk[0] for chunk in chunks)

    def read(
        self,
        connection: Connection,
        run_id: str,
        path: str,
        after_chunk: int,
        limit: int,
        *,
        attempt: int = 0,
        before_chunk: int = 0,
    ) -> list[LogChunk]:
        """Chunks of a run after an id, in the order of arrival; or with `before_chunk` those before that id, the newest first."""
        query = select(
            log_chunks.c.chunk_id,
            log_chunks.c.payload,
            log_chunks.c.first_sequence,
            *(log_leases.c[name] for name in (*_LEASE_COLUMNS, *_KEPT)),
        ).join(log_leases, log_leases.c.lease_id == log_chunks.c.lease_id)
        query = query.where(
            log_chunks.c.run_id == run_id, log_chunks.c.chunk_id > after_chunk, _IS_SHOWN
        )
        if before_chunk:
            query = query.where(log_chunks.c.chunk_id < before_chunk).order_by(
                log_chunks.c.chunk_id.desc()
            )
        else:
            query = query.order_by(log_chunks.c.chunk_id)
        if path:
            query = query.where(of_path(path))
        if attempt:
            query = query.where(log_leases.c.attempt == attempt)
        return [_log_chunk(row) for row in connection.execute(query.limit(limit))]

    def _open(self, connection: Connection, lease: _Lease) -> _Archived:
        values = dict(zip(_LEASE_COLUMNS, lease, strict=True))
        fresh = dict.fromkeys(_COUNTS, 0)
        connection.execute(
            self._database.insert(log_leases).values(values | fresh).on_conflict_do_nothing()
        )
        row = connection.execute(select(log_leases).filter_by(**values)).one()
        kept = Kept(
            head_lines=row.lines,
            head_bytes=row.bytes,
            closed=bool(row.full),
            head_last=row.head_last,
            tail_first=row.tail_first,
            tail_bytes=row.tail_bytes,
            last=row.last_sequence,
        )
        return _Archived(lease_id=row.lease_id, kept=kept, tail_began=row.tail_first)

    def _rows(
        self, connection: Connection, archived: _Archived, record: log_pb2.LogLines
    ) -> list[tuple[Any, ...]]:
        """Build the rows of the parts of a record that are new and stay."""
        kept = archived.kept
        if not record.lines:
            return [_chunk_row(archived, record, (), record.dropped)]
        known = archived.fresh | _stored_sequences(connection, archived.lease_id, record.lines)
        lines = [line for line in record.lines if line.sequence not in known]
        archived.fresh.update(line.sequence for line in lines)
        parts = kept.take(lines, self._bounds)
        dropped = [record.dropped, 0] if parts.head else [0, record.dropped]
        told = zip((parts.head, parts.tail), dropped, strict=True)
        return [_chunk_row(archived, record, part, lost) for part, lost in told if part]

    def _leave_out(self, connection: Connection, archived: _Archived) -> None:
        """Make room in the tail, and delete omitted rows when there are enough of them."""
        kept = archived.kept
        crowded = kept.tail_bytes > self._bounds.tail_bytes
        if crowded:
            kept.tail_first = max(kept.tail_first, self._fitting(connection, archived))
        slack = self._bounds.slack
        if not crowded and kept.tail_first // slack == archived.tail_began // slack:
            return
        of_tail = (log_chunks.c.lease_id == archived.lease_id) & (
            log_chunks.c.last_sequence > kept.head_last
        )
        of_tail &= log_chunks.c.first_sequence > kept.head_last
        connection.execute(
            delete(log_chunks).where(of_tail, log_chunks.c.last_sequence < kept.tail_first)
        )
        rest = select(func.coalesce(func.sum(log_chunks.c.bytes), 0)).where(of_tail)
        kept.tail_bytes = int(connection.execute(rest).scalar_one())

    def _fitting(self, connection: Connection, archived: _Archived) -> int:
        """Return the number from which the tail's rows take at most three quarters of its room; the newest row always stays."""
        query = (
            select(log_chunks.c.first_sequence, log_chunks.c.last_sequence, log_chunks.c.bytes)
            .where(
                log_chunks.c.lease_id == archived.lease_id,
                log_chunks.c.last_sequence >= archived.kept.tail_first,
            )
            .order_by(log_chunks.c.last_sequence.desc())
        )
        room, newest = self._bounds.tail_bytes * 3 // 4, 0
        for row in connection.execute(query).all():
            room -= row.bytes
            if room < 0 and newest > row.last_sequence:
                return int(row.last_sequence) + 1
            newest = newest or row.first_sequence
        return 0


def of_path(path: str) -> ColumnElement[bool]:
    """Whether a lease is that of a step at or under a path."""
    # A path goes on with another segment, a cell's key, the number of an iteration or a case.
    follows = func.substr(log_leases.c.path, len(path) + 1, 1)
    under = (func.substr(log_leases.c.path, 1, len(path)) == path) & follows.in_(
        ["/", "[", "#", "="]
    )
    return or_(log_leases.c.path == path, under)


# Either in the head, or not omitted.
_IS_SHOWN = or_(
    log_leases.c.full == 0,
    log_chunks.c.first_sequence <= log_leases.c.head_last,
    log_chunks.c.last_sequence >= log_leases.c.tail_first,
)


def _counts_row(archived: _Archived) -> tuple[Any, ...]:
    kept = archived.kept
    counts = (kept.head_lines, kept.head_bytes, int(kept.closed), kept.head_last, kept.tail_first)
    return (*counts, kept.tail_bytes, kept.last, archived.lease_id)


def _stored_sequences(
    connection: Connection, lease_id: int, lines: Sequence[log_pb2.LogLine]
) -> set[int]:
    """Return the archived sequence numbers of the lease that may coincide with those of `lines`."""
    if not lines:
        return set()
    numbers = [line.sequence for line in lines]
    query = select(log_chunks.c.payload).where(
        log_chunks.c.lease_id == lease_id,
        log_chunks.c.last_sequence >= min(numbers),
        log_chunks.c.first_sequence <= max(numbers),
    )
    stored = connection.execute(query).scalars()
    return {
        line.sequence for payload in stored for line in log_pb2.LogLines.FromString(payload).lines
    }


def _lease(record: log_pb2.LogLines) -> _Lease:
    key = record.key
    return key.run_id, key.path, key.attempt, key.generation, record.incarnation


def _chunk_row(
    archived: _Archived, record: log_pb2.LogLines, lines: Sequence[log_pb2.LogLine], dropped: int
) -> tuple[Any, ...]:
    kept = archived.kept
    numbers = [line.sequence for line in lines] or [kept.last if kept.closed else 0]
    size = sum(len(line.text.encode()) for line in lines)
    stored = log_pb2.LogLines(
        key=record.key, incarnation=record.incarnation, lines=lines, dropped=dropped
    )
    payload = stored.SerializeToString(deterministic=True)
    return record.key.run_id, archived.lease_id, min(numbers), max(numbers), size, payload


def _log_chunk(row: Row[Any]) -> LogChunk:
    key = step_pb2.StepKey(
        run_id=row.run_id, path=row.path, attempt=row.attempt, generation=row.generation
    )
    left_out = (row.head_last + 1, row.tail_first - 1) if row.full else None
    payload = row.payload
    # In the tail only the first chunk may begin before it.
    if left_out is not None and left_out[0] <= row.first_sequence <= left_out[1]:
        payload = visible(payload, left_out)
    return LogChunk(
        chunk_id=row.chunk_id,
        key=key,
        incarnation=row.incarnation,
        payload=payload,
        left_out=left_out,
    )
