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
        """Archive lines of steps and return the ids of the runs with new lines.

        A repeated line is dropped. Each lease has a bound (see `LogBounds`): its first and its last lines
        stay.
        """

    @abstractmethod
    def read_logs(
        self, run_id: str, path: str = "", after_chunk: int = 0, limit: int = 100
    ) -> list[LogChunk]:
        """Return the lines of the steps at or under `path` (empty: of all), in order of arrival, after the given chunk.

        A chunk that is committed later has a higher id than every earlier visible chunk of its run. The
        result omits lines between a lease's head and its tail; each chunk names the omitted numbers.
        """
