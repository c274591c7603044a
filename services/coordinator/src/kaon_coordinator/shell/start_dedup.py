"""Start commands reach their owner on two ways: handed over by the API in the same process, and read from the inbox."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from kaon_coordinator.store.base import InboxRow


class StartDedup:
    """Remembers which start commands have been applied: a doubled one, of a run that has ended meanwhile, would begin it anew.

    Args:
        remembered: how many are remembered; the two ways lie at most seconds apart.
    """

    def __init__(self, *, remembered: int = 20_000) -> None:
        self._remembered = remembered
        # Partitions by run id. (Databases use inbox ids again.)
        self._applied: OrderedDict[str, int] = OrderedDict()

    def fresh(self, rows: Iterable[InboxRow]) -> list[InboxRow]:
        """The rows that have not been applied, each once, in order of their ids."""
        found = {
            row.inbox_id: row
            for row in rows
            if not (row.command.HasField("start") and row.run_id in self._applied)
        }
        return [found[inbox_id] for inbox_id in sorted(found)]

    def note(self, row: InboxRow) -> None:
        """This row is applied now."""
        if row.command.HasField("start"):
            self._applied[row.run_id] = row.partition
            if len(self._applied) > self._remembered:
                self._applied.popitem(last=False)

    def forget(self, run_ids: Iterable[str]) -> None:
        """What came of these starts was not kept."""
        for run_id in run_ids:
            self._applied.pop(run_id, None)

    def drop(self, partition: int) -> None:
        """Forgets a partition that another owner has claimed: what was applied last may not have become durable."""
        for run_id in [key for key, number in self._applied.items() if number == partition]:
            del self._applied[run_id]
