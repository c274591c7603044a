"""What steps printed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from kaon_coordinator.store.records import LogChunk
from kaonapi.log.v1 import log_pb2


class LogStore(Protocol):
    """What steps printed."""

    @abstractmethod
    def archive_logs(self, records: Sequence[log_pb2.LogLines]) -> frozenset[str]:
        """Keeps what steps printed and returns the ids of the runs that got new lines. A line that comes again is dropped. Each
        lease has a bound (see `LogBounds`): its first lines and its last lines stay."""

    @abstractmethod
    def read_logs(
        self, run_id: str, path: str = "", after_chunk: int = 0, limit: int = 100
    ) -> list[LogChunk]:
        """Lines of the steps at or under `path` (empty: of all) in the order in which they arrived, after the given chunk. A chunk
        that is committed later has a higher id than every chunk of its run that could be read before. Lines that are left out
        between a lease's head and its tail are not among them; each chunk tells which those are by now."""
