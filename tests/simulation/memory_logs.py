"""Archived lines in memory."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from kaon_coordinator.store.base import LogChunk
from kaon_coordinator.store.logs import LogBounds
from kaonapi.log.v1 import log_pb2


@dataclass(kw_only=True)
class _Lease:
    lines: int = 0
    size_bytes: int = 0
    full: bool = False
    known: set[int] = field(default_factory=set)


class MemoryLogs:
    """What steps printed."""

    def __init__(self, bounds: LogBounds) -> None:
        self._bounds = bounds
        self._leases: dict[tuple[str, str, int, int, str], _Lease] = {}
        self._chunks: list[LogChunk] = []
        self._ids = itertools.count(1)

    def archive(self, records: Sequence[log_pb2.LogLines]) -> frozenset[str]:
        """Keeps the new lines of records; returns the runs that got some."""
        return frozenset(record.key.run_id for record in records if self._keep(record))

    def _keep(self, record: log_pb2.LogLines) -> bool:
        key = record.key
        place = (key.run_id, key.path, key.attempt, key.generation, record.incarnation)
        lease = self._leases.setdefault(place, _Lease())
        lines = [line for line in record.lines if line.sequence not in lease.known]
        if lease.full or (record.lines and not lines):
            return False
        kept = log_pb2.LogLines(
            key=key,
            incarnation=record.incarnation,
            lines=self._fitting(lease, lines),
            dropped=record.dropped,
        )
        lease.known.update(line.sequence for line in lines)
        self._chunks.append(
            LogChunk(
                chunk_id=next(self._ids),
                key=kept.key,
                incarnation=record.incarnation,
                payload=kept.SerializeToString(deterministic=True),
            )
        )
        return True

    def _fitting(self, lease: _Lease, lines: Iterable[log_pb2.LogLine]) -> Iterable[log_pb2.LogLine]:
        for line in lines:
            size = len(line.text.encode())
            if lease.lines >= self._bounds.lines or lease.size_bytes + size > self._bounds.size_bytes:
                lease.full = True
                yield log_pb2.LogLine(
                    sequence=line.sequence,
                    time_us=line.time_us,
                    stream=log_pb2.STREAM_SYSTEM,
                    text=f"the step printed more than is kept here ({lease.lines} lines, {lease.size_bytes} bytes): "
                    "the rest is in the step's log artifact",
                )
                return
            lease.lines += 1
            lease.size_bytes += size
            yield line

    def runs(self) -> list[str]:
        """The runs of which there are lines."""
        return sorted({run_id for run_id, *_ in self._leases})

    def remove(self, run_ids: Collection[str]) -> None:
        """Deletes all lines of these runs."""
        self._leases = {place: lease for place, lease in self._leases.items() if place[0] not in run_ids}
        self._chunks = [chunk for chunk in self._chunks if chunk.key.run_id not in run_ids]

    def read(self, run_id: str, path: str, after_chunk: int, limit: int) -> list[LogChunk]:
        """Chunks of a run after an id, in the order of arrival."""
        found = [
            chunk
            for chunk in self._chunks
            if chunk.chunk_id > after_chunk and chunk.key.run_id == run_id and _is_under(chunk.key.path, path)
        ]
        return found[:limit]


def _is_under(path: str, around: str) -> bool:
    return not around or path == around or (path.startswith(around) and path[len(around)] in "/[#")
