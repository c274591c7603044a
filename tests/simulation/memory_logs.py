"""Archived lines in memory."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from kaon_coordinator.store.base import LogChunk
from kaon_coordinator.store.log_bounds import Kept, LogBounds, visible
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2


@dataclass(kw_only=True)
class _Lease:
    kept: Kept = field(default_factory=Kept)
    known: set[int] = field(default_factory=set)


class MemoryLogs:
    """What steps printed. Lines that are left out are not deleted but hidden."""

    def __init__(self, bounds: LogBounds) -> None:
        self._bounds = bounds
        self._leases: dict[tuple[str, str, int, int, str], _Lease] = {}
        self._chunks: list[LogChunk] = []
        self._ids = itertools.count(1)

    def archive(self, records: Sequence[log_pb2.LogLines]) -> frozenset[str]:
        """Keeps the new lines of records; returns the runs that got some."""
        return frozenset(record.key.run_id for record in records if self._keep(record))

    def _keep(self, record: log_pb2.LogLines) -> bool:
        lease = self._leases.setdefault(_place(record.key, record.incarnation), _Lease())
        lines = [line for line in record.lines if line.sequence not in lease.known]
        lease.known.update(line.sequence for line in lines)
        parts = lease.kept.take(lines, self._bounds)
        told = [part for part in (parts.head, parts.tail) if part] or ([] if record.lines else [()])
        for index, part in enumerate(told):
            dropped = 0 if index else record.dropped
            self._add(record, log_pb2.LogLines(lines=part, dropped=dropped))
        self._make_room(lease.kept, _place(record.key, record.incarnation))
        return bool(told)

    def _add(self, record: log_pb2.LogLines, part: log_pb2.LogLines) -> None:
        part.key.CopyFrom(record.key)
        part.incarnation = record.incarnation
        self._chunks.append(
            LogChunk(
                chunk_id=next(self._ids),
                key=part.key,
                incarnation=part.incarnation,
                payload=part.SerializeToString(deterministic=True),
                left_out=None,
            )
        )

    def _make_room(self, kept: Kept, place: tuple[str, str, int, int, str]) -> None:
        """Leaves out the oldest chunks of a tail that has grown too large."""
        if kept.tail_bytes <= self._bounds.tail_bytes:
            return
        room, sizes = self._bounds.tail_bytes * 3 // 4, 0
        tail = [each for each in self._records(place) if each.lines[0].sequence > kept.head_last]
        for index, each in enumerate(reversed(tail)):
            size = sum(len(line.text.encode()) for line in each.lines)
            if index and sizes + size > room:
                kept.tail_first = max(kept.tail_first, each.lines[-1].sequence + 1)
                break
            sizes += size
        kept.tail_bytes = sizes

    def _records(self, place: tuple[str, str, int, int, str]) -> Iterator[log_pb2.LogLines]:
        for chunk in self._chunks:
            record = log_pb2.LogLines.FromString(chunk.payload)
            if _place(chunk.key, chunk.incarnation) == place and record.lines:
                yield record

    def runs(self) -> list[str]:
        """The runs of which there are lines."""
        return sorted({run_id for run_id, *_ in self._leases})

    def remove(self, run_ids: Collection[str]) -> None:
        """Deletes all lines of these runs."""
        self._leases = {
            place: lease for place, lease in self._leases.items() if place[0] not in run_ids
        }
        self._chunks = [chunk for chunk in self._chunks if chunk.key.run_id not in run_ids]

    def read(self, run_id: str, path: str, after_chunk: int, limit: int) -> list[LogChunk]:
        """Chunks of a run after an id, in the order of arrival."""
        found = (
            self._shown(chunk)
            for chunk in self._chunks
            if chunk.chunk_id > after_chunk
            and chunk.key.run_id == run_id
            and _is_under(chunk.key.path, path)
        )
        return list(itertools.islice((chunk for chunk in found if chunk is not None), limit))

    def _shown(self, chunk: LogChunk) -> LogChunk | None:
        """A chunk without the lines that are left out; None when nothing of it stays."""
        left_out = self._leases[_place(chunk.key, chunk.incarnation)].kept.left_out
        if left_out is None:
            return chunk
        payload = visible(chunk.payload, left_out)
        gone = not log_pb2.LogLines.FromString(payload).lines and payload != chunk.payload
        return None if gone else replace(chunk, payload=payload, left_out=left_out)


def _place(key: step_pb2.StepKey, incarnation: str) -> tuple[str, str, int, int, str]:
    return key.run_id, key.path, key.attempt, key.generation, incarnation


def _is_under(path: str, around: str) -> bool:
    return not around or path == around or (path.startswith(around) and path[len(around)] in "/[#")
