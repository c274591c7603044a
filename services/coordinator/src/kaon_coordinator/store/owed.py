"""The parts of a batch besides the history and rows of its runs.

They are child runs, commands to other runs, memos, released permits, notices and updates of datasets.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete

from kaon_coordinator.store import permit_sql
from kaon_coordinator.store.bulk import Bulk
from kaon_coordinator.store.dataset_sql import DatasetUpdates
from kaon_coordinator.store.memo_sql import Memos
from kaon_coordinator.store.notice_sql import Notices
from kaon_coordinator.store.records import PartitionBatch
from kaon_coordinator.store.submission_sql import Submissions
from kaon_coordinator.store.tables import blocks, steps
from kaon_service.databases import Database


class Owed:
    """Writes these parts after the fences of the batches."""

    def __init__(self, database: Database, submissions: Submissions) -> None:
        self._submissions = submissions
        self._memos = Memos(database)
        self._notices = Notices(database)
        self._datasets = DatasetUpdates(database)
        self._drops = [
            Bulk(
                database,
                delete(table).where(
                    table.c.run_id == bindparam("run"), table.c.path == bindparam("at")
                ),
                ("run", "at"),
            )
            for table in (steps, blocks)
        ]

    def begin(self, connection: Connection, batches: Sequence[PartitionBatch]) -> None:
        """Write the runs that begin."""
        begun = [run for batch in batches for run in batch.begun]
        if begun:
            self._submissions.begin(connection, begun)

    def drop(self, connection: Connection, batches: Sequence[PartitionBatch]) -> None:
        """Delete the rows of dropped steps and blocks."""
        gone = [
            (run_id, path)
            for batch in batches
            for run_id, paths in batch.dropped.items()
            for path in paths
        ]
        for bulk in self._drops:
            bulk.execute(connection, gone)

    def write(self, connection: Connection, batches: Sequence[PartitionBatch]) -> None:
        """Write all other parts."""
        children = [run for batch in batches for run in batch.new_runs]
        if children:
            self._submissions.submit(connection, children)
        messages = [message for batch in batches for message in batch.messages]
        if messages:
            self._submissions.tell(connection, messages)
        self._memos.remember(connection, [memo for batch in batches for memo in batch.memos])
        self._notices.add(connection, [notice for batch in batches for notice in batch.notices])
        updates = [(batch.partition, each) for batch in batches for each in batch.dataset_updates]
        self._datasets.add(connection, updates)
        released = {holder for batch in batches for holder in batch.released}
        if released:
            permit_sql.release(connection, released)
