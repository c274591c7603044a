"""Deduplication of start commands, which reach their owner twice: from the API in the same process, and from the inbox."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from kaon_coordinator.store.base import InboxRow


class StartDedup:
    """Remembers the applied start commands: a duplicate, after the run has ended, would begin the run again.

    Args:
        remembered: The number of remembered commands; the two arrivals lie at most seconds apart.
    """

    def __init__(self, *, remembered: int = 20_000) -> None:
        self._remembered = remembered
        # Partitions by run id. (Databases reuse inbox ids.)
        self._applied: OrderedDict[str, int] = OrderedDict()

    def fresh(self, rows: Iterable[InboxRow]) -> list[InboxRow]:
        """Return the rows that have not been applied, each once, in order of their ids."""
        found = {
            row.inbox_id: row
            for row in rows
            if not (row.command.HasField("start") and row.run_id in self._applied)
        }
        return [found[inbox_id] for inbox_id in sorted(found)]

    def note(self, row: InboxRow) -> None:
        """Remember a row as applied."""
        if row.command.HasField("start"):
            self._applied[row.run_id] = row.partition
            if len(self._applied) > self._remembered:
                self._applied.popitem(last=False)

    def forget(self, run_ids: Iterable[str]) -> None:
        """Forget the starts of these runs: their effects were not kept."""
        for run_id in run_ids:
            self._applied.pop(run_id, None)

    def drop(self, partition: int) -> None:
        """Forget a partition that another owner has claimed: the last commands may not have become durable."""
        for run_id in [key for key, number in self._applied.items() if number == partition]:
            del self._applied[run_id]
