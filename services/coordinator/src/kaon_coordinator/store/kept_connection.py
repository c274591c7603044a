"""A connection for transactions that stays open between them.

To take a connection from a pool and give it back costs more than a small transaction, and much more after a
pause: then it is a quarter of what a turn's transaction takes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from kaon_service.databases import Database


class KeptConnection:
    """Makes writing transactions, mostly over the same connection.

    Args:
        database: Where transactions are made. An embedded database has one connection that writes: a thread waits
            for it. Elsewhere a thread that comes meanwhile gets another one.
    """

    def __init__(self, database: Database) -> None:
        self._engine = database.writer
        self._is_only = database.is_sqlite
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Make a transaction: it is committed at the end of the block, and rolled back by an exception."""
        if not self._lock.acquire(blocking=self._is_only):
            with self._engine.begin() as other:
                yield other
            return
        try:
            connection, self._connection = self._connection or self._engine.connect(), None
            try:
                with connection.begin():
                    yield connection
            except BaseException:
                # It may be broken: the pool finds out, and replaces it.
                connection.close()
                raise
            self._connection = connection
        finally:
            self._lock.release()

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
