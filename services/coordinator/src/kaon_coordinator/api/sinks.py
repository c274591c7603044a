"""The API's receiver of durable events, progress and lines, which it passes to the feed and the archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog

from kaon_coordinator.api.feed import RunFeed
from kaon_coordinator.api.log_archive import LogArchive
from kaon_coordinator.faults import note_fault
from kaon_coordinator.shell.progress_publisher import progress_in
from kaon_wire.errors import KaonError
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2

log = structlog.get_logger(__name__)


class ApiSinks:
    """Implements the shell's `Sinks`.

    Args:
        feed: Receives events and progress.
        archive: Receives lines.
        notify: Called when a commit has added notices.
    """

    def __init__(
        self, feed: RunFeed, archive: LogArchive, notify: Callable[[], None] = lambda: None
    ) -> None:
        self._feed = feed
        self._archive = archive
        self._notify = notify

    def committed(self, events: Sequence[history_pb2.HistoryEvent]) -> None:
        """Receive durable history events, in order of seq per run."""
        self._feed.publish(events)

    def notified(self) -> None:
        """Hear that a commit has added notices of notifications."""
        self._notify()

    def progress(self, reports: Mapping[int, Sequence[step_pb2.StepEvents]]) -> None:
        """Receive runners' records, for the progress in them."""
        for records in reports.values():
            for record in records:
                for told in progress_in(record):
                    self._feed.publish_progress(told.run_id, told.step)

    async def logs(self, lines: Sequence[log_pb2.LogLines]) -> None:
        """Archive lines that steps printed; return when they are archived.

        While the database is away they are dropped here: the steps' log artifacts hold every line.
        """
        try:
            await self._archive.archive(lines)
        except KaonError as error:
            log.warning("log lines not archived", records=len(lines), error=str(error))
        except Exception as error:
            await self._archive_apart(lines, error)

    async def _archive_apart(self, lines: Sequence[log_pb2.LogLines], error: Exception) -> None:
        """Archive in halves until the record that the database refuses stands alone."""
        if len(lines) == 1:
            note_fault(
                "log lines were archived", error, run=lines[0].key.run_id, path=lines[0].key.path
            )
            return
        middle = len(lines) // 2
        await self.logs(lines[:middle])
        await self.logs(lines[middle:])
