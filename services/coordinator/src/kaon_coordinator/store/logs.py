"""The archive of what steps printed: records as they arrived, without repeated lines, bounded for each lease.

A record that comes again is recognised by the sequence numbers of its lines, in whatever order records come. Archivers work one
after the other, so that ids of chunks ascend in the order in which they become visible and a reader that goes on after the last id
it saw misses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, bindparam, func, insert, or_, select, text, update

from kaon_coordinator.store.bulk import Bulk
from kaon_coordinator.store.database import Database
from kaon_coordinator.store.records import LogChunk
from kaon_coordinator.store.tables import log_chunks, log_leases
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2

_Lease: TypeAlias = tuple[str, str, int, int, str]
_LEASE_COLUMNS = ("run_id", "path", "attempt", "generation", "incarnation")
_COUNTS = ("lines", "bytes", "full")
_CHUNK_COLUMNS = ("run_id", "lease_id", "first_sequence", "last_sequence", "payload")


@dataclass(frozen=True, kw_only=True)
class LogBounds:
    """How much of one lease's output is archived; the whole of it is the step's log artifact."""

    lines: int = 10_000
    # Of UTF-8 text.
    size_bytes: int = 4 * 1024 * 1024


@dataclass(kw_only=True)
class _Archived:
    """How much there is of one lease."""

    lease_id: int
    lines: int
    size_bytes: int
    full: bool
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

    def archive(self, connection: Connection, records: Sequence[log_pb2.LogLines]) -> frozenset[str]:
        """Keeps the new lines of records; returns the runs that got some."""
        if not self._database.is_sqlite:
            connection.execute(text("LOCK TABLE log_leases IN SHARE ROW EXCLUSIVE MODE"))
        leases: dict[_Lease, _Archived] = {}
        chunks: list[tuple[Any, ...]] = []
        for record in records:
            lease = _lease(record)
            if lease not in leases:
                leases[lease] = self._open(connection, lease)
            kept = self._keep(connection, leases[lease], record)
            if kept is not None:
                chunks.append(_chunk_row(leases[lease].lease_id, kept))
        self._chunk.execute(connection, chunks)
        counts = [(it.lines, it.size_bytes, int(it.full), it.lease_id) for it in leases.values()]
        self._counts.execute(connection, counts)
        return frozenset(chunk[0] for chunk in chunks)

    def read(
        self, connection: Connection, run_id: str, path: str, after_chunk: int, limit: int
    ) -> list[LogChunk]:
        """Chunks of a run after an id, in the order of arrival."""
        query = (
            select(
                log_chunks.c.chunk_id, log_chunks.c.payload, *(log_leases.c[name] for name in _LEASE_COLUMNS)
            )
            .join(log_leases, log_leases.c.lease_id == log_chunks.c.lease_id)
            .where(log_chunks.c.run_id == run_id, log_chunks.c.chunk_id > after_chunk)
            .order_by(log_chunks.c.chunk_id)
            .limit(limit)
        )
        if path:
            # A path goes on with another segment, a cell's key or a pass's number.
            follows = func.substr(log_leases.c.path, len(path) + 1, 1)
            under = (func.substr(log_leases.c.path, 1, len(path)) == path) & follows.in_(["/", "[", "#"])
            query = query.where(or_(log_leases.c.path == path, under))
        return [_log_chunk(row) for row in connection.execute(query)]

    def _open(self, connection: Connection, lease: _Lease) -> _Archived:
        values = dict(zip(_LEASE_COLUMNS, lease, strict=True))
        fresh = {"lines": 0, "bytes": 0, "full": 0}
        connection.execute(self._database.insert(log_leases).values(values | fresh).on_conflict_do_nothing())
        row = connection.execute(select(log_leases).filter_by(**values)).one()
        return _Archived(lease_id=row.lease_id, lines=row.lines, size_bytes=row.bytes, full=bool(row.full))

    def _keep(
        self, connection: Connection, archived: _Archived, record: log_pb2.LogLines
    ) -> log_pb2.LogLines | None:
        """The part of a record that is new and fits; None when nothing of it is."""
        if archived.full:
            return None
        known = archived.fresh | _stored_sequences(connection, archived.lease_id, record.lines)
        lines = [line for line in record.lines if line.sequence not in known]
        if record.lines and not lines:
            return None
        archived.fresh.update(line.sequence for line in lines)
        kept = list(self._fitting(archived, lines))
        return log_pb2.LogLines(
            key=record.key, incarnation=record.incarnation, lines=kept, dropped=record.dropped
        )

    def _fitting(self, archived: _Archived, lines: Iterable[log_pb2.LogLine]) -> Iterable[log_pb2.LogLine]:
        for line in lines:
            size = len(line.text.encode())
            fits = (
                archived.lines < self._bounds.lines and archived.size_bytes + size <= self._bounds.size_bytes
            )
            if not fits:
                archived.full = True
                yield _told_as_cut(line, archived)
                return
            archived.lines += 1
            archived.size_bytes += size
            yield line


def _told_as_cut(line: log_pb2.LogLine, archived: _Archived) -> log_pb2.LogLine:
    """Stands in place of the first line that is not kept."""
    return log_pb2.LogLine(
        sequence=line.sequence,
        time_us=line.time_us,
        stream=log_pb2.STREAM_SYSTEM,
        text=f"the step printed more than is kept here ({archived.lines} lines, {archived.size_bytes} bytes): "
        "the rest is in the step's log artifact",
    )


def _stored_sequences(connection: Connection, lease_id: int, lines: Sequence[log_pb2.LogLine]) -> set[int]:
    """Sequence numbers of the lease that are archived already, where they may meet those of `lines`."""
    if not lines:
        return set()
    numbers = [line.sequence for line in lines]
    query = select(log_chunks.c.payload).where(
        log_chunks.c.lease_id == lease_id,
        log_chunks.c.last_sequence >= min(numbers),
        log_chunks.c.first_sequence <= max(numbers),
    )
    stored = connection.execute(query).scalars()
    return {line.sequence for payload in stored for line in log_pb2.LogLines.FromString(payload).lines}


def _lease(record: log_pb2.LogLines) -> _Lease:
    key = record.key
    return key.run_id, key.path, key.attempt, key.generation, record.incarnation


def _chunk_row(lease_id: int, record: log_pb2.LogLines) -> tuple[Any, ...]:
    numbers = [line.sequence for line in record.lines] or [0]
    payload = record.SerializeToString(deterministic=True)
    return record.key.run_id, lease_id, min(numbers), max(numbers), payload


def _log_chunk(row: Row[Any]) -> LogChunk:
    key = step_pb2.StepKey(run_id=row.run_id, path=row.path, attempt=row.attempt, generation=row.generation)
    return LogChunk(chunk_id=row.chunk_id, key=key, incarnation=row.incarnation, payload=row.payload)
