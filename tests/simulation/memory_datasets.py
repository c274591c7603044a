"""The updates of datasets in memory."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from kaon_coordinator.store.base import DatasetRecord, DatasetUpdate, KeptUpdate, NewRun


class MemoryDatasets:
    """In the order of their ids."""

    def __init__(self) -> None:
        self._kept: dict[int, KeptUpdate] = {}
        self._ids = itertools.count(1)

    def serialized(self) -> list[bytes]:
        """Every update as bytes."""
        return [repr(each.outputs).encode() for each in self._kept.values()]

    def add(self, partition: int, updates: Iterable[DatasetUpdate]) -> None:
        """Adds updates, each once."""
        for each in updates:
            self.record(partition, each)

    def record(self, partition: int, update: DatasetUpdate) -> tuple[KeptUpdate, bool]:
        """Adds one, or returns the one of its key."""
        key = (update.tenant, update.dataset, update.key)
        for kept in self._kept.values():
            if (kept.tenant, kept.dataset, kept.key) == key:
                return kept, False
        made = KeptUpdate(**vars(update), update_id=next(self._ids), partition=partition)
        self._kept[made.update_id] = made
        return made, True

    def note_runs(self, created: Iterable[NewRun]) -> None:
        """Because of which updates runs were made."""
        for run in created:
            for update_id in run.because_of:
                kept = self._kept[update_id]
                self._kept[update_id] = replace(kept, started=(*kept.started, run.run_id))

    def since(
        self, tenant: str, dataset: str, since_us: int, positions: Mapping[int, int], limit: int
    ) -> list[KeptUpdate]:
        """Those that are not known."""
        return [
            each
            for each in self._of(tenant, dataset)
            if each.time_us >= since_us and each.update_id > positions.get(each.partition, 0)
        ][:limit]

    def list(self, tenant: str, after: str, limit: int) -> list[DatasetRecord]:
        """By name."""
        found: dict[str, list[KeptUpdate]] = defaultdict(list)
        for each in self._kept.values():
            if each.tenant == tenant and each.dataset > after:
                found[each.dataset].append(each)
        return [
            DatasetRecord(name=name, updates=len(kept), newest=replace(kept[-1], started=()))
            for name, kept in sorted(found.items())
        ][:limit]

    def producers(self, tenant: str, name: str, limit: int) -> Sequence[KeptUpdate]:
        """The newest of each step."""
        newest = {
            (each.workflow, each.path): each for each in self._of(tenant, name) if each.run_id
        }
        found = sorted(newest.values(), key=lambda each: -each.update_id)
        return [replace(each, started=()) for each in found][:limit]

    def newest_first(
        self, tenant: str, name: str, part: str | None, before_id: int, limit: int
    ) -> Sequence[KeptUpdate]:
        """Those before one."""
        return [
            each
            for each in reversed(self._of(tenant, name))
            if each.update_id < before_id and part in (None, each.part)
        ][:limit]

    def remove_old(self, before_us: int, limit: int) -> Sequence[str]:
        """Removes those from before a time."""
        return self._remove([e for e in self._kept.values() if e.time_us < before_us][:limit])

    def trim(self, most: int, limit: int) -> Sequence[str]:
        """Removes the oldest of a tenant that has too many."""
        for tenant in {each.tenant for each in self._kept.values()}:
            mine = [each for each in self._kept.values() if each.tenant == tenant]
            if len(mine) > most:
                return self._remove(mine[: min(limit, len(mine) - most)])
        return []

    def _remove(self, found: Sequence[KeptUpdate]) -> Sequence[str]:
        return [self._kept.pop(each.update_id).dataset for each in found]

    def _of(self, tenant: str, dataset: str) -> Sequence[KeptUpdate]:
        return [e for e in self._kept.values() if (e.tenant, e.dataset) == (tenant, dataset)]
