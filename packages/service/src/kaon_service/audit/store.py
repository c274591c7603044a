"""The audit log in a database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Dialect, Row, delete, insert, select, update

from kaon_service.audit.signing import Sign
from kaon_service.audit.tables import MIGRATIONS, ends, heads, rows
from kaon_service.databases import Durability, open_database, refusals
from kaon_wire.audit.rows import (
    START,
    AuditCall,
    AuditRow,
    Head,
    SignedHead,
    chained,
    statement,
)

# Rows that are read, or removed, at a time.
_PIECE = 1_000
_CALL = tuple(each.name for each in fields(AuditCall))
_ROW = ("seq", *_CALL, "previous", "digest")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which rows are asked for; empty fields ask for all."""

    # None: of all tenants.
    tenant: str | None = None
    principal: str = ""
    # A method's last part, such as "CancelRun", or its whole name.
    method: str = ""
    outcome: str = ""
    # Part of what the request names.
    named: str = ""
    # Microseconds since the epoch, or 0.
    since_us: int = 0
    until_us: int = 0
    # Only rows before this one; 0: from the newest.
    before_seq: int = 0
    limit: int = 100


class AuditStore:
    """Appends to the chain and reads it. Calls block and may come from any thread.

    Each raises `Unavailable` while the database does not answer.

    Args:
        url: `sqlite:///FILE` or `postgresql+psycopg://USER@HOST:PORT/NAME`; its tables are migrated.

    Raises:
        InvalidValue: The URL names neither.
        Conflict: The database belongs to a newer version of Kaon.
    """

    def __init__(self, url: str) -> None:
        self._database = open_database(url, Durability.FULL)
        self._appending = _Appending(self._database.writer.dialect)
        try:
            with refusals("migrate the audit log"):
                MIGRATIONS.apply(self._database)
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def append(self, calls: Sequence[AuditCall]) -> None:
        """Append calls in order, in one transaction; other processes that append wait for it."""
        with self._writing("append") as connection:
            last = self._appending.last(connection) or self._locked(connection)[0]
            self._appending.add(connection, list(chained(last, calls)))

    def ends(self) -> tuple[Head, Head]:
        """Return the last row and the place before the first one."""
        with self._reading("ends") as connection:
            return _ends(connection.execute(select(ends)).first())

    def newest(self, wanted: Wanted) -> list[AuditRow]:
        """Return rows, newest first."""
        query = select(rows).order_by(rows.c.seq.desc()).limit(wanted.limit)
        if wanted.tenant is not None:
            query = query.where(rows.c.tenant == wanted.tenant)
        if wanted.principal:
            query = query.where(rows.c.principal == wanted.principal)
        if wanted.outcome:
            query = query.where(rows.c.outcome == wanted.outcome)
        if wanted.method:
            whole = rows.c.method == wanted.method
            query = query.where(
                whole | rows.c.method.endswith(f"/{wanted.method}", autoescape=True)
            )
        if wanted.named:
            query = query.where(rows.c.named.contains(wanted.named, autoescape=True))
        if wanted.since_us:
            query = query.where(rows.c.time_us >= wanted.since_us)
        if wanted.until_us:
            query = query.where(rows.c.time_us < wanted.until_us)
        if wanted.before_seq:
            query = query.where(rows.c.seq < wanted.before_seq)
        with self._reading("list") as connection:
            return [_row(each) for each in connection.execute(query)]

    def after(self, seq: int, limit: int = _PIECE) -> list[AuditRow]:
        """Return the rows of all tenants that follow one, in order."""
        query = select(rows).where(rows.c.seq > seq).order_by(rows.c.seq).limit(limit)
        with self._reading("read") as connection:
            return [_row(each) for each in connection.execute(query)]

    def signed(self) -> list[SignedHead]:
        """Return the signed heads, in order."""
        with self._reading("heads") as connection:
            return [
                SignedHead(
                    head=Head(seq=each.seq, digest=each.digest),
                    time_us=each.time_us,
                    signature=each.signature,
                )
                for each in connection.execute(select(heads).order_by(heads.c.seq))
            ]

    def sign_head(self, sign: Sign, now_us: int) -> SignedHead | None:
        """Keep the newest row's hash with a signature; None when nothing came since the last time."""
        with self._writing("sign") as connection:
            last, base = self._locked(connection)
            known = connection.execute(select(heads.c.seq).where(heads.c.seq == last.seq)).first()
            if last.seq == base.seq or known is not None:
                return None
            signature = sign(statement(last, now_us))
            connection.execute(
                insert(heads).values(
                    seq=last.seq, digest=last.digest, time_us=now_us, signature=signature
                )
            )
            return SignedHead(head=last, time_us=now_us, signature=signature)

    def forget(self, before_us: int) -> int:
        """Remove rows up to the newest head that is from before a time, and return their number.

        The head stays, so that what follows can still be verified.
        """
        cut = select(heads).where(heads.c.time_us < before_us).order_by(heads.c.seq.desc()).limit(1)
        with self._writing("forget") as connection:
            _, base = self._locked(connection)
            found = connection.execute(cut).first()
            if found is None or found.seq <= base.seq:
                return 0
            connection.execute(delete(rows).where(rows.c.seq <= found.seq))
            connection.execute(delete(heads).where(heads.c.seq < found.seq))
            connection.execute(update(ends).values(base_seq=found.seq, base_digest=found.digest))
            return int(found.seq) - base.seq

    def _locked(self, connection: Connection) -> tuple[Head, Head]:
        """Return both ends of the chain, which nobody else can move until this transaction's end."""
        found = connection.execute(select(ends).with_for_update()).first()
        if found is None:
            statement_ = self._database.insert(ends).values(
                id=1,
                last_seq=START.seq,
                last_digest=START.digest,
                base_seq=START.seq,
                base_digest=START.digest,
            )
            connection.execute(statement_.on_conflict_do_nothing())
            found = connection.execute(select(ends).with_for_update()).first()
        return _ends(found)

    @contextmanager
    def _writing(self, what: str) -> Iterator[Connection]:
        with refusals(f"audit: {what}"), self._database.writer.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self, what: str) -> Iterator[Connection]:
        with refusals(f"audit: {what}"), self._database.reader.begin() as connection:
            yield connection


class _Appending:
    """The statements of a transaction that appends, compiled once: SQLAlchemy's part of one was more than the database's.

    Args:
        dialect: The database's.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._last = _compiled(
            select(ends.c.last_seq, ends.c.last_digest).with_for_update(), (), dialect
        )
        self._insert = _compiled(insert(rows), _ROW, dialect)
        self._move = _compiled(update(ends), ("last_seq", "last_digest"), dialect)

    def last(self, connection: Connection) -> Head | None:
        """Return the chain's last row, locked until the transaction's end; None before the first one."""
        found = connection.exec_driver_sql(self._last).first()
        return None if found is None else Head(seq=found[0], digest=found[1])

    def add(self, connection: Connection, added: Sequence[AuditRow]) -> None:
        """Add rows to the chain, and move its end."""
        connection.exec_driver_sql(self._insert, [_values(row) for row in added])
        end = added[-1]
        connection.exec_driver_sql(self._move, (end.seq, end.digest))


def _compiled(statement: Any, columns: Sequence[str], dialect: Dialect) -> str:
    """Return a statement as text, with the columns' values in this order."""
    compiled = statement.compile(dialect=dialect, column_keys=columns or None)
    expected = tuple(compiled.positiontup or ())
    if expected != tuple(columns):
        raise AssertionError(f"the statement takes {expected}, not {columns}")
    return str(compiled)


def _ends(found: Row[Any] | None) -> tuple[Head, Head]:
    if found is None:
        return START, START
    return (
        Head(seq=found.last_seq, digest=found.last_digest),
        Head(seq=found.base_seq, digest=found.base_digest),
    )


def _values(row: AuditRow) -> tuple[Any, ...]:
    call = vars(row.call)
    return (row.seq, *(call[name] for name in _CALL), row.previous, row.digest)


def _row(found: Row[Any]) -> AuditRow:
    told = found._mapping
    call = AuditCall(**{name: told[name] for name in _CALL})
    return AuditRow(seq=told["seq"], call=call, previous=told["previous"], digest=told["digest"])
